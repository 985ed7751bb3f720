import { UsherError } from './errors.ts';

/** Time as the client uses it; injected, so that a test never sleeps. */
export interface Clock {
  /** A time that never goes back, in ms. Only differences mean anything. */
  now(): number;
  /** Runs `run` once after `delayMs`; the answer cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

// Browsers and Node fire a timer at once when its delay does not fit 31 bits.
const maxTimerMs = 2_147_483_647;

export const systemClock: Clock = {
  now: () => performance.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, Math.min(delayMs, maxTimerMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or as soon as `signal` aborts: what follows looks at the signal, so nobody is left waiting. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = () => {
      cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    signal.addEventListener('abort', finish);
  });
}

export const closedError = () => new UsherError('CLOSED', { message: 'The client was closed' });

/** `promise`, or a rejection with `CLOSED` as soon as `signal` aborts, for what cannot be cancelled itself. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(closedError());
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
