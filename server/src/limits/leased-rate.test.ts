import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { RedisConnection } from '../redis/connection.ts';
import { readyRedis, startRedis, type TestRedis, until } from '../tickets/testing.ts';
import { createLeasedRate } from './leased-rate.ts';
import { createMemoryRateLimiter } from './memory.ts';
import type { RateLimiter } from './rate.ts';
import { createRedisRateLimiter } from './redis.ts';

let server: TestRedis;
let one: RedisConnection;
let other: RedisConnection;
beforeAll(async () => {
  server = await startRedis();
  one = await readyRedis(server.url);
  other = await readyRedis(server.url);
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await server.stop();
});

/** Counts the questions a limiter is asked. */
const counted = (limiter: RateLimiter) => {
  const asked = { count: 0 };
  const take: RateLimiter['take'] = (key, rule) => {
    asked.count += 1;
    return limiter.take(key, rule);
  };
  return { asked, limiter: { take } };
};

/** A clock all parts of one test share. */
const clocked = () => {
  const clock = { at: 1_000_000 };
  return { clock, now: () => clock.at };
};

test('take() gives out exactly the limit to 2,000 callers at once', async () => {
  const { now } = clocked();
  const { asked, limiter } = counted(createMemoryRateLimiter({ now }));
  const rate = createLeasedRate({ limiter, limit: 1_000, windowMs: 1_000, now });
  const answers = await Promise.all(Array.from({ length: 2_000 }, () => rate.take('u')));
  expect(answers.filter((answer) => answer.ok)).toHaveLength(1_000);
  for (const answer of answers) if (!answer.ok) expect(answer.retryAfterMs).toBeGreaterThan(0);
  expect(asked.count).toBeLessThan(10);
});

test('take() asks rarely of a user who publishes steadily, and gives nearly all of the limit', async () => {
  const { clock, now } = clocked();
  const { asked, limiter } = counted(createMemoryRateLimiter({ now }));
  const rate = createLeasedRate({ limiter, limit: 1_000, windowMs: 1_000, now });
  let given = 0;
  for (let ms = 0; ms < 10_000; ms += 1) {
    clock.at += 1;
    given += (await rate.take('steady')).taken;
  }
  expect(given).toBeGreaterThan(9_000);
  expect(given).toBeLessThanOrEqual(10_000);
  expect(asked.count).toBeLessThan(given / 10);
});

test('take() takes one at a time for a user who publishes now and then', async () => {
  const { clock, now } = clocked();
  const shared = createMemoryRateLimiter({ now });
  let taken = 0;
  const limiter: RateLimiter = {
    async take(key, rule) {
      const answer = await shared.take(key, rule);
      taken += answer.taken;
      return answer;
    },
  };
  const rate = createLeasedRate({ limiter, limit: 1_000, windowMs: 1_000, now });
  for (let n = 0; n < 50; n += 1) {
    clock.at += 300;
    expect((await rate.take('now and then')).ok).toBe(true);
  }
  expect(taken).toBe(50);
});

test('instances together never exceed the limit in any window, however late they spend', async () => {
  const { clock, now } = clocked();
  const shared = createMemoryRateLimiter({ now });
  // Large blocks and long leases, so that much is held back and spent at the last moment.
  const options = { limiter: shared, limit: 100, windowMs: 1_000, blockShare: 0.5, leaseMs: 400, now };
  const rates = [0, 1, 2].map(() => createLeasedRate(options));
  const given: { at: number; taken: number }[] = [];
  let seed = 11;
  for (let n = 0; n < 20_000; n += 1) {
    seed = (seed * 48_271) % 2_147_483_647;
    // Bursts, pauses and single takes, over instances at random.
    clock.at += seed % 23 === 0 ? seed % 400 : seed % 4;
    const rate = rates[seed % rates.length]!;
    const { taken } = await rate.take('late', 1 + (seed % 3));
    if (taken > 0) given.push({ at: clock.at, taken });
  }
  let from = 0;
  let sum = 0;
  let most = 0;
  for (const grant of given) {
    sum += grant.taken;
    while (given[from]!.at <= grant.at - 1_000) sum -= given[from++]!.taken;
    most = Math.max(most, sum);
  }
  expect(most).toBeLessThanOrEqual(100);
  expect(most).toBeGreaterThan(90);
});

test('two instances on one Redis give out exactly the limit', async () => {
  const rates = [one, other].map((redis) =>
    createLeasedRate({ limiter: createRedisRateLimiter({ redis, timeoutMs: 5_000 }), limit: 500, windowMs: 600_000 }),
  );
  let given = 0;
  const spend = async (rate: (typeof rates)[number]) => {
    for (let refusals = 0; refusals < 3; ) {
      const answers = await Promise.all(Array.from({ length: 20 }, () => rate.take('shared')));
      const ok = answers.filter((answer) => answer.ok).length;
      given += ok;
      if (ok === 0) refusals += 1;
    }
  };
  await Promise.all(rates.map(spend));
  expect(given).toBe(500);
});

test('take() refuses without asking until the time the shared limiter named', async () => {
  const { clock, now } = clocked();
  const { asked, limiter } = counted(createMemoryRateLimiter({ now }));
  const rate = createLeasedRate({ limiter, limit: 5, windowMs: 1_000, now });
  expect((await rate.take('spent', 5)).ok).toBe(true);
  const refusal = await rate.take('spent');
  expect(refusal.ok).toBe(false);
  const before = asked.count;
  for (let n = 0; n < 100; n += 1) expect((await rate.take('spent')).ok).toBe(false);
  expect(asked.count).toBe(before);
  clock.at += refusal.retryAfterMs;
  expect((await rate.take('spent')).ok).toBe(true);
});

test('take() serves who waited although the answer came later than a lease', async () => {
  const { clock, now } = clocked();
  const shared = createMemoryRateLimiter({ now });
  const slow: RateLimiter = {
    async take(key, rule) {
      const answer = await shared.take(key, rule);
      clock.at += 200;
      return answer;
    },
  };
  const rate = createLeasedRate({ limiter: slow, limit: 1_000, windowMs: 1_000, now });
  const answers = await Promise.all(Array.from({ length: 50 }, () => rate.take('slow')));
  expect(answers.every((answer) => answer.ok)).toBe(true);
});

test('take() rejects who waits when the shared limiter fails, and works again after', async () => {
  const { now } = clocked();
  const shared = createMemoryRateLimiter({ now });
  let failing = true;
  const limiter: RateLimiter = {
    take: (key, rule) => (failing ? Promise.reject(new Error('on purpose')) : shared.take(key, rule)),
  };
  const rate = createLeasedRate({ limiter, limit: 10, windowMs: 1_000, now });
  const settled = await Promise.allSettled([rate.take('failing'), rate.take('failing')]);
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  failing = false;
  expect((await rate.take('failing')).ok).toBe(true);
});

test('take() remembers a bounded number of keys, and sweeps those that are done', async () => {
  const { clock, now } = clocked();
  const { asked, limiter } = counted(createMemoryRateLimiter({ now }));
  const rate = createLeasedRate({ limiter, limit: 10, windowMs: 1_000, maxKeys: 3, now });
  for (let n = 0; n < 10; n += 1) expect((await rate.take(`user ${n}`)).ok).toBe(true);
  expect(rate.size).toBe(3);
  expect(asked.count).toBe(10);
  clock.at += 5_000;
  await rate.take('another');
  expect(rate.size).toBe(1);
});

test('take() refuses a cost above the limit for good', async () => {
  const rate = createLeasedRate({ limiter: createMemoryRateLimiter(), limit: 10, windowMs: 1_000 });
  expect(await rate.take('much', 11).catch((error) => error.reason)).toBe('BAD_REQUEST');
});

test('racing callers of a real Redis stay within the limit of every window', async () => {
  const windowMs = 300;
  const limit = 60;
  const rates = [one, other].map((redis) =>
    createLeasedRate({ limiter: createRedisRateLimiter({ redis, timeoutMs: 5_000 }), limit, windowMs }),
  );
  const given: { from: number; to: number }[] = [];
  const begunAt = performance.now();
  await until(async () => {
    const from = performance.now();
    const answers = await Promise.all(rates.flatMap((rate) => [rate.take('windows'), rate.take('windows')]));
    const to = performance.now();
    for (const answer of answers) if (answer.ok) given.push({ from, to });
    return to - begunAt > 4 * windowMs;
  });
  expect(given.length).toBeGreaterThan(limit);
  for (const first of given) {
    const within = given.filter((grant) => grant.from >= first.from && grant.to < first.from + windowMs);
    expect(within.length).toBeLessThanOrEqual(limit);
  }
});
