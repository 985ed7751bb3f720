/** How long attempts are spread after failures. */
export interface BackoffOptions {
  /** The widest delay before the first retry, in ms. @default 500 */
  readonly initialMs?: number;
  /** No delay is longer, in ms. @default 20000 */
  readonly maxMs?: number;
  /** By what the widest delay grows with each failure. @default 2 */
  readonly multiplier?: number;
  /** Gives a number from 0 up to 1. @default Math.random */
  readonly random?: () => number;
}

/**
 * Exponential backoff with full jitter: a number from 0 to a cap that grows with `failures`. Full, because clients that
 * lost the same server at the same moment must not come back at the same moment.
 */
export function backoffMs(failures: number, options: BackoffOptions = {}): number {
  const { initialMs = 500, maxMs = 20_000, multiplier = 2, random = Math.random } = options;
  // The exponent is bounded, so that a client which fails for days does not compute with Infinity.
  const capMs = Math.min(maxMs, initialMs * multiplier ** Math.min(failures, 64));
  return Math.round(random() * capMs);
}
