import { describe, expect, test } from 'bun:test';
import { UsherError } from '@usher/contracts';
import type { RateLimiter } from './rate.ts';

export interface RateHarness {
  readonly limiter: RateLimiter;
  /** In ms, by the limiter's clock. */
  now(): Promise<number>;
  /** Comes back when the limiter's clock shows `until` or later. */
  waitFor(until: number): Promise<void>;
}

/** What every rate limiter must do, whatever it counts in. */
export function describeRateLimiter(name: string, harness: () => RateHarness): void {
  describe(name, () => {
    test('take() gives out the limit, then refuses and says how long to wait', async () => {
      const { limiter } = harness();
      const rule = { limit: 3, windowMs: 60_000 };
      for (let n = 0; n < 3; n += 1)
        expect(await limiter.take('a limit', rule)).toEqual({ ok: true, retryAfterMs: 0, taken: 1 });
      const answer = await limiter.take('a limit', rule);
      expect(answer.ok).toBe(false);
      expect(answer.taken).toBe(0);
      expect(answer.retryAfterMs).toBeWithin(1, 60_601);
    });

    test('take() gives again when the time it named has passed', async () => {
      const { limiter, now, waitFor } = harness();
      const rule = { limit: 2, windowMs: 300 };
      await limiter.take('again', rule);
      await limiter.take('again', rule);
      const { ok, retryAfterMs } = await limiter.take('again', rule);
      expect(ok).toBe(false);
      await waitFor((await now()) + retryAfterMs);
      expect((await limiter.take('again', rule)).ok).toBe(true);
    });

    test('take() takes its cost whole or not at all, and a refusal takes nothing', async () => {
      const { limiter } = harness();
      const rule = { limit: 10, windowMs: 60_000 };
      expect((await limiter.take('whole', { ...rule, cost: 7 })).taken).toBe(7);
      expect((await limiter.take('whole', { ...rule, cost: 4 })).ok).toBe(false);
      expect((await limiter.take('whole', { ...rule, cost: 4 })).ok).toBe(false);
      expect((await limiter.take('whole', { ...rule, cost: 3 })).taken).toBe(3);
      expect((await limiter.take('whole', rule)).ok).toBe(false);
    });

    test('take() gives up to what was wished for, and no more than there is', async () => {
      const { limiter } = harness();
      const rule = { limit: 10, windowMs: 60_000 };
      expect((await limiter.take('up to', { ...rule, cost: 1, upTo: 6 })).taken).toBe(6);
      expect((await limiter.take('up to', { ...rule, cost: 2, upTo: 6 })).taken).toBe(4);
      expect((await limiter.take('up to', { ...rule, cost: 1, upTo: 6 })).taken).toBe(0);
    });

    test('take() counts keys, and windows of different lengths, apart', async () => {
      const { limiter } = harness();
      const rule = { limit: 1, windowMs: 60_000 };
      expect((await limiter.take('apart:a', rule)).ok).toBe(true);
      expect((await limiter.take('apart:b', rule)).ok).toBe(true);
      expect((await limiter.take('apart:a', { limit: 1, windowMs: 30_000 })).ok).toBe(true);
      expect((await limiter.take('apart:a', rule)).ok).toBe(false);
    });

    test('take() admits exactly the limit when 200 callers race', async () => {
      const { limiter } = harness();
      const rule = { limit: 10, windowMs: 60_000 };
      const answers = await Promise.all(Array.from({ length: 200 }, () => limiter.take('a race', rule)));
      expect(answers.filter((answer) => answer.ok)).toHaveLength(10);
    });

    test('take() never gives more than the limit in any window', async () => {
      const { limiter, now, waitFor } = harness();
      const windowMs = 200;
      const limit = 20;
      const begunAt = await now();
      const grants: { from: number; to: number; taken: number }[] = [];
      let seed = 7;
      for (let from = begunAt; from < begunAt + 5 * windowMs; from = await now()) {
        seed = (seed * 48_271) % 2_147_483_647;
        const { taken } = await limiter.take('any window', {
          limit,
          windowMs,
          cost: 1 + (seed % 3),
          upTo: 1 + (seed % 5),
        });
        const to = await now();
        if (taken > 0) grants.push({ from, to, taken });
        else await waitFor(to + (seed % 7) + 1);
      }
      // A window's whole second use shows that it slides at all.
      expect(grants.reduce((sum, grant) => sum + grant.taken, 0)).toBeGreaterThan(2 * limit);
      for (const first of grants) {
        const within = grants.filter((grant) => grant.from >= first.from && grant.to < first.from + windowMs);
        expect(within.reduce((sum, grant) => sum + grant.taken, 0)).toBeLessThanOrEqual(limit);
      }
    });

    test('take() refuses a cost above the limit for good: waiting would not help', async () => {
      const { limiter } = harness();
      const error = await limiter
        .take('too much', { limit: 2, windowMs: 1_000, cost: 3 })
        .catch((cause: unknown) => cause);
      expect(error).toBeInstanceOf(UsherError);
      expect((error as UsherError).reason).toBe('BAD_REQUEST');
    });
  });
}
