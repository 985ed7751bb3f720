import { type BackoffOptions, backoffMs } from './backoff.ts';
import { afterOrAborted, type Clock, closedError } from './clock.ts';
import type { Environment } from './environment.ts';

// A broken server must not send a client away for a day.
const maxRetryAfterMs = 300_000;

export interface PaceOptions extends BackoffOptions {
  readonly clock: Clock;
  readonly environment: Environment;
  /** What failed before works again. */
  readonly onRecovered?: () => void;
}

/** One budget of attempts against one thing that may fail, and the wait before the next. */
export interface Pace {
  /** Failures since it was last healthy. */
  readonly failures: number;
  /**
   * Resolves when the next attempt may go: not while offline, at the slowest pace while nobody looks, and not before its
   * time. @throws UsherError CLOSED
   */
  turn(signal: AbortSignal, extra?: Extra): Promise<void>;
  failed(retryAfterMs?: number): void;
  healthy(): void;
  /** Things have changed for the better: the attempt that waits goes soon. */
  hurry(): void;
}

export interface Extra {
  /** Nothing failed and nobody waits in line: go now. */
  readonly atOnce?: boolean;
  /** How long to wait beyond that, in ms, asked again before going. @default 0 */
  readonly heldMs?: () => number;
  /** No attempt may go at all, for now. @default false */
  readonly halted?: () => boolean;
}

export function createPace(options: PaceOptions): Pace {
  const { clock, environment, random = Math.random, maxMs = 20_000 } = options;
  const waiting = new Set<() => void>();
  let failures = 0;
  let notBefore = Number.NEGATIVE_INFINITY;
  let hurriedAt = Number.NEGATIVE_INFINITY;

  /** Waits until the time comes, or anything changes. */
  const change = (delayMs: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const wake = afterOrAborted(clock, delayMs, signal, () => {
        waiting.delete(wake);
        resolve();
      });
      waiting.add(wake);
    });

  return {
    get failures() {
      return failures;
    },
    async turn(signal, { atOnce = false, heldMs = () => 0, halted = () => false } = {}) {
      const startedAt = clock.now();
      // Jitter even with no failure: all clients of a server that went away come at the same moment.
      const drawnMs = atOnce ? 0 : backoffMs(failures, options);
      const soonMs = backoffMs(0, options);
      const slowMs = atOnce ? 0 : maxMs * (0.5 + random() / 2);
      for (;;) {
        if (signal.aborted) throw closedError();
        const now = clock.now();
        let goAt = Math.max(startedAt + (environment.visible ? drawnMs : slowMs), now + heldMs());
        if (hurriedAt >= startedAt) goAt = Math.min(goAt, hurriedAt + soonMs);
        goAt = Math.max(goAt, notBefore);
        const stopped = halted() || !environment.online;
        if (goAt <= now && !stopped) return;
        await change(stopped ? Number.POSITIVE_INFINITY : goAt - now, signal);
      }
    },
    failed(retryAfterMs = 0) {
      failures += 1;
      // Many were told the same number.
      const waitMs = Math.min(retryAfterMs, maxRetryAfterMs);
      if (waitMs > 0) notBefore = clock.now() + waitMs + random() * Math.min(waitMs, 1_000);
    },
    healthy() {
      if (failures > 0) options.onRecovered?.();
      failures = 0;
    },
    hurry() {
      hurriedAt = clock.now();
      for (const wake of [...waiting]) wake();
    },
  };
}
