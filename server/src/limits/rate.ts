import { badRequest, UsherError } from '@usher/contracts';

/** What one key may take. */
export interface RateRule {
  /** Most that may be taken in any window. */
  readonly limit: number;
  readonly windowMs: number;
  /** How much to take; all of it, or nothing. @default 1 */
  readonly cost?: number;
  /** Takes more than `cost`, up to this, when it is to be had. @default cost */
  readonly upTo?: number;
}

export interface RateAnswer {
  readonly ok: boolean;
  /** When `cost` could be had, in ms from now; 0 when it was. */
  readonly retryAfterMs: number;
  /** What was taken. */
  readonly taken: number;
}

/**
 * Counts what is taken under a key, in a sliding window.
 *
 * MUST NOT give out more than `limit` in any window, however many callers race.
 * MUST take `cost` whole or not at all; a refusal MUST take nothing.
 * MUST settle within its store's timeout, and MUST still have a bound while the store is away.
 * MUST throw `BAD_REQUEST` when `cost` exceeds `limit`: waiting would not help.
 */
export interface RateLimiter {
  take(key: string, rule: RateRule): Promise<RateAnswer>;
}

/** A window slides in this many steps: a key costs at most as many counters, and what is taken counts up to 1 % longer. */
export const slotsPerWindow = 100;

/** A rule with its defaults, checked. */
export interface CheckedRule {
  readonly limit: number;
  readonly windowMs: number;
  readonly slotMs: number;
  readonly cost: number;
  readonly upTo: number;
}

export function checkRule(rule: RateRule): CheckedRule {
  const { limit, windowMs, cost = 1 } = rule;
  if (!(Number.isSafeInteger(limit) && limit > 0)) {
    throw new TypeError(`Wanted a positive integer as limit: current value is "${limit}"`);
  }
  if (!(Number.isSafeInteger(windowMs) && windowMs > 0)) {
    throw new TypeError(`Wanted a positive integer as windowMs: current value is "${windowMs}"`);
  }
  if (!(Number.isSafeInteger(cost) && cost > 0)) {
    throw new TypeError(`Wanted a positive integer as cost: current value is "${cost}"`);
  }
  if (cost > limit) throw badRequest('', `Wanted at most ${limit} at once: current value is ${cost}`);
  const upTo = Math.min(limit, Math.max(cost, rule.upTo ?? cost));
  return { limit, windowMs, slotMs: Math.max(1, Math.ceil(windowMs / slotsPerWindow)), cost, upTo };
}

/** @throws UsherError RATE_LIMITED when the answer is a refusal. */
export function refuseUnless(answer: RateAnswer): void {
  if (!answer.ok) throw new UsherError('RATE_LIMITED', { retryAfterMs: answer.retryAfterMs });
}
