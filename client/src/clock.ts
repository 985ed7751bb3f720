import { UsherError } from './errors.ts';

/** Time as the client uses it; injected, so that a test never sleeps. */
export interface Clock {
  /** A time that never goes back, in ms. Only differences mean anything. */
  now(): number;
  /** Runs `run` once after `delayMs`; the answer cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

// Browsers and Node fire a timer at once when its delay does not fit 31 bits.
const maxTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (delayMs, run) => {
    // Node and Bun print a warning of their own for a time that has passed already.
    const timer = setTimeout(run, Math.max(0, Math.min(delayMs, maxTimerMs)));
    return () => clearTimeout(timer);
  },
};

/** Runs `run` once, after `delayMs` or as soon as `signal` aborts, whichever is first; the answer brings it forward. */
export function afterOrAborted(clock: Clock, delayMs: number, signal: AbortSignal, run: () => void): () => void {
  const finish = () => {
    stop();
    signal.removeEventListener('abort', finish);
    run();
  };
  const stop = clock.after(delayMs, finish);
  if (signal.aborted) finish();
  else signal.addEventListener('abort', finish);
  return finish;
}

/** Resolves after `delayMs`, or as soon as `signal` aborts: what follows looks at the signal, so nobody is left waiting. */
export const pause = (clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => afterOrAborted(clock, delayMs, signal, resolve));

export const closedError = () => new UsherError('CLOSED');

/**
 * What `start` gives, within `limitMs` and before `signal` aborts. `start` gets a signal that aborts when nobody waits
 * any longer; one that does not heed it is left. @throws UsherError TIMEOUT, CLOSED
 */
export function within<T>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal,
  start: (given: AbortSignal) => Promise<T>,
): Promise<T> {
  const given = new AbortController();
  return new Promise<T>((resolve, reject) => {
    const settle = afterOrAborted(clock, limitMs, signal, () => {
      reject(signal.aborted ? closedError() : new UsherError('TIMEOUT'));
      given.abort();
    });
    // Settled first, so that the rejection above, which also cleans up, says nothing.
    start(given.signal).then(resolve, reject).finally(settle);
  });
}
