import type { RateAnswer, RateLimiter } from './rate.ts';

export interface LeasedRateOptions {
  /** Shared by all instances; each block is taken from it. */
  readonly limiter: RateLimiter;
  /** Most that one key may take in any window, over all instances. */
  readonly limit: number;
  readonly windowMs: number;
  /** Largest block taken ahead of need, as a share of the limit. @default 0.05 */
  readonly blockShare?: number;
  /**
   * How long a block may be spent, in ms. The shared window is longer by as much, so this share of the limit is not to
   * be had by who takes without a pause. @default windowMs / 40
   */
  readonly leaseMs?: number;
  /** Most keys remembered; a key beyond them pays a round trip each time. @default 10000 */
  readonly maxKeys?: number;
  /** A clock that never goes back, in ms. @default performance.now */
  readonly now?: () => number;
}

/** A rate limiter for the hot path: most takes cost no round trip. */
export interface LeasedRate {
  /** Takes `cost` of `key`, whole or not at all. @throws UsherError BAD_REQUEST when `cost` exceeds the limit. */
  take(key: string, cost?: number): Promise<RateAnswer>;
  /** Keys remembered. */
  readonly size: number;
}

interface Waiter {
  readonly cost: number;
  resolve(answer: RateAnswer): void;
  reject(cause: unknown): void;
}

/** What this instance holds of one key. */
interface Purse {
  tokens: number;
  leaseEndsAt: number;
  takenAt: number;
  /** How much to take ahead the next time. */
  block: number;
  granted: number;
  /** The shared limiter refused `refusedCost`, and will until then. */
  refusedUntil: number;
  refusedCost: number;
  /** What the waiters want; at most the limit. */
  wanted: number;
  readonly waiters: Waiter[];
  fetching: boolean;
}

const granted = (cost: number): RateAnswer => ({ ok: true, retryAfterMs: 0, taken: cost });
const refused = (retryAfterMs: number): RateAnswer => ({
  ok: false,
  retryAfterMs: Math.max(1, Math.ceil(retryAfterMs)),
  taken: 0,
});

/**
 * Takes tokens in blocks from a shared limiter and spends them here.
 *
 * The total over all instances never exceeds the limit in any window: a block is spent within `leaseMs` of being taken,
 * and the shared limiter counts it for `windowMs + leaseMs`. What is not spent in time is lost, never spent late.
 */
export function createLeasedRate(options: LeasedRateOptions): LeasedRate {
  const { limiter, limit, windowMs, blockShare = 0.05, maxKeys = 10_000, now = () => performance.now() } = options;
  const leaseMs = Math.max(1, Math.round(options.leaseMs ?? windowMs / 40));
  const maxBlock = Math.max(1, Math.floor(limit * blockShare));
  const rule = { limit, windowMs: windowMs + leaseMs };
  const purses = new Map<string, Purse>();
  let sweptAt = Number.NEGATIVE_INFINITY;

  const idle = (purse: Purse, at: number): boolean =>
    !purse.fetching && purse.waiters.length === 0 && purse.leaseEndsAt <= at && purse.refusedUntil <= at;

  /** Makes room for one more key; false when every key is in use. */
  const makeRoom = (at: number): boolean => {
    if (purses.size < maxKeys) return true;
    // Once a lease at most: with every key in use, a sweep a take would cost more than the round trip it saves.
    if (at - sweptAt < leaseMs) return false;
    sweptAt = at;
    for (const [key, purse] of purses) if (idle(purse, at)) purses.delete(key);
    return purses.size < maxKeys;
  };

  /**
   * How much to take ahead: what lasts four fifths of a lease at the pace of the last block. More would be lost, and
   * lost tokens count against the user; less would cost round trips.
   */
  const nextBlock = (purse: Purse, at: number): number => {
    const spent = purse.granted - purse.tokens;
    if (spent === 0) return 1;
    const tookMs = Math.max(at - purse.takenAt, 0.001);
    const lasts = purse.tokens > 0 ? spent : (spent * leaseMs) / tookMs;
    return Math.max(1, Math.min(maxBlock, purse.block * 2, Math.floor(lasts * 0.8)));
  };

  const fetch = async (key: string, purse: Purse, head: Waiter): Promise<void> => {
    const at = now();
    purse.block = nextBlock(purse, at);
    purse.tokens = 0;
    purse.granted = 0;
    // Who waits by now is served whatever the answer takes: for them it is an ordinary shared limiter.
    let present = purse.waiters.length;
    const upTo = Math.max(purse.wanted, purse.block);
    const answer = await limiter.take(key, { ...rule, cost: head.cost, upTo });
    if (!answer.ok) {
      purse.refusedUntil = now() + answer.retryAfterMs;
      purse.refusedCost = head.cost;
      return;
    }
    purse.takenAt = at;
    purse.leaseEndsAt = at + leaseMs;
    purse.tokens = answer.taken;
    purse.granted = answer.taken;
    for (let next = purse.waiters[0]; next && present > 0 && next.cost <= purse.tokens; next = purse.waiters[0]) {
      present -= 1;
      settle(purse, () => granted(next.cost));
      purse.tokens -= next.cost;
    }
  };

  const settle = (purse: Purse, answer: () => RateAnswer): void => {
    const waiter = purse.waiters.shift();
    if (!waiter) return;
    purse.wanted -= waiter.cost;
    waiter.resolve(answer());
  };

  /** Serves the waiters in their order; each turn serves or refuses at least the first. */
  const serve = async (key: string, purse: Purse): Promise<void> => {
    purse.fetching = true;
    for (let head = purse.waiters[0]; head; head = purse.waiters[0]) {
      const answer = here(purse, head.cost);
      if (answer) {
        settle(purse, () => answer);
        continue;
      }
      try {
        await fetch(key, purse, head);
      } catch (cause) {
        for (const waiter of purse.waiters.splice(0)) waiter.reject(cause);
        purse.wanted = 0;
      }
    }
    purse.fetching = false;
  };

  /** The answer that can be given without asking. */
  const here = (purse: Purse, cost: number): RateAnswer | null => {
    const at = now();
    if (purse.tokens >= cost && at < purse.leaseEndsAt) {
      purse.tokens -= cost;
      return granted(cost);
    }
    if (at < purse.refusedUntil && cost >= purse.refusedCost) return refused(purse.refusedUntil - at);
    return null;
  };

  return {
    get size() {
      return purses.size;
    },
    async take(key, cost = 1) {
      let purse = purses.get(key);
      if (cost > limit || (!purse && !makeRoom(now()))) return limiter.take(key, { ...rule, cost });
      if (!purse) {
        purse = newPurse();
        purses.set(key, purse);
      }
      if (!purse.fetching) {
        const answer = here(purse, cost);
        if (answer) return answer;
      }
      // More than one limit waiting would be refused anyway; this keeps the queue bounded.
      if (purse.wanted + cost > limit) return refused(leaseMs);
      const waiting = purse;
      return new Promise<RateAnswer>((resolve, reject) => {
        waiting.waiters.push({ cost, resolve, reject });
        waiting.wanted += cost;
        if (!waiting.fetching) void serve(key, waiting);
      });
    },
  };
}

const newPurse = (): Purse => ({
  tokens: 0,
  leaseEndsAt: 0,
  takenAt: 0,
  block: 1,
  granted: 0,
  refusedUntil: 0,
  refusedCost: 0,
  wanted: 0,
  waiters: [],
  fetching: false,
});
