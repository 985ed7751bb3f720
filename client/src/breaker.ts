import type { Clock } from './clock.ts';

export interface BreakerOptions {
  /** Failures in a row that open the breaker. @default 5 */
  readonly failures?: number;
  /** How long it stays open before one probe, in ms; a random half of it is added. @default 20000 */
  readonly openMs?: number;
}

export type BreakerState = 'closed' | 'open' | 'half-open';

/** Stops a client from hammering what keeps failing: closed, open, and half-open while one probe decides. */
export interface Breaker {
  readonly state: BreakerState;
  /** How long until an attempt may go, in ms; `0`: now. Taking the turn in `open` makes it half-open. */
  waitMs(): number;
  /** An attempt goes now. */
  take(): void;
  failed(): void;
  healthy(): void;
}

export function createBreaker(clock: Clock, random: () => number, options: BreakerOptions = {}): Breaker {
  const { failures: threshold = 5, openMs = 20_000 } = options;
  let state: BreakerState = 'closed';
  let failures = 0;
  let openUntil = 0;
  return {
    get state() {
      return state;
    },
    waitMs: () => (state === 'open' ? Math.max(0, openUntil - clock.now()) : 0),
    take() {
      if (state === 'open') state = 'half-open';
    },
    failed() {
      failures += 1;
      if (state !== 'half-open' && failures < threshold) return;
      state = 'open';
      // Clients that opened together must not probe together.
      openUntil = clock.now() + openMs * (1 + random() / 2);
    },
    healthy() {
      state = 'closed';
      failures = 0;
    },
  };
}
