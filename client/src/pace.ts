import { type BackoffOptions, backoffMs } from './backoff.ts';
import { afterOrAborted, type Clock, closedError } from './clock.ts';
import type { Environment } from './environment.ts';

export interface BreakerOptions {
  /** Failures in a row that open the breaker. @default 5 */
  readonly failures?: number;
  /** How long it stays open before one probe, in ms; a random half of it is added. @default 20000 */
  readonly openMs?: number;
}

/** `closed`: attempts go. `open`: none goes. `half-open`: one goes, and decides. */
export type BreakerState = 'closed' | 'open' | 'half-open';

export interface PaceOptions extends BackoffOptions {
  readonly clock: Clock;
  readonly environment: Environment;
  /** @default none: failures only slow it down */
  readonly breaker?: BreakerOptions;
  /** What failed before works again. */
  readonly onRecovered?: () => void;
}

/** One budget of attempts against one thing that may fail, the wait before the next, and the breaker that stops them. */
export interface Pace {
  /** Failures since it was last healthy. */
  readonly failures: number;
  readonly breaker: BreakerState;
  /**
   * Resolves when the next attempt may go: not while offline or `halted`, at the slowest pace while nobody looks, and not
   * before its time, which is now when `atOnce`. @throws UsherError CLOSED
   */
  turn(signal: AbortSignal, atOnce: boolean, halted?: () => boolean): Promise<void>;
  failed(retryAfterMs?: number): void;
  healthy(): void;
  /** Things have changed for the better: the attempt that waits goes soon, be the breaker open. */
  hurry(): void;
}

export function createPace(options: PaceOptions): Pace {
  const { clock, environment, random = Math.random, maxMs = 20_000, breaker } = options;
  const { failures: threshold = 5, openMs = 20_000 } = breaker ?? {};
  const waiting = new Set<() => void>();
  let failures = 0;
  let openUntil = 0;
  let notBefore = 0;
  let hurriedAt = -1;
  const isOpen = () => breaker !== undefined && failures >= threshold;

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
    get breaker() {
      if (!isOpen()) return 'closed';
      return clock.now() < openUntil ? 'open' : 'half-open';
    },
    async turn(signal, atOnce, halted) {
      const startedAt = clock.now();
      // Jitter even with no failure: all clients of a server that went away come at the same moment.
      const drawnMs = environment.visible ? backoffMs(failures, options) : maxMs * (0.5 + random() / 2);
      const soonMs = backoffMs(0, options);
      for (;;) {
        if (signal.aborted) throw closedError();
        const now = clock.now();
        let goAt = Math.max(atOnce ? now : startedAt + drawnMs, openUntil);
        if (hurriedAt >= startedAt) goAt = Math.min(goAt, hurriedAt + soonMs);
        const leftMs = environment.online && !halted?.() ? Math.max(goAt, notBefore) - now : Infinity;
        if (leftMs <= 0) return;
        await change(leftMs, signal);
      }
    },
    failed(retryAfterMs = 0) {
      failures += 1;
      const now = clock.now();
      // Clients that opened together must not probe together, and many were told the same number.
      if (isOpen()) openUntil = now + openMs * (1 + random() / 2);
      if (retryAfterMs > 0) notBefore = now + retryAfterMs + random() * Math.min(retryAfterMs, 1_000);
    },
    healthy() {
      if (failures > 0) options.onRecovered?.();
      failures = openUntil = 0;
    },
    hurry() {
      hurriedAt = clock.now();
      for (const wake of [...waiting]) wake();
    },
  };
}
