import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { RedisConnection } from '../redis/connection.ts';
import { readyRedis, startRedis, type TestRedis, until } from '../tickets/testing.ts';
import { createMemoryRateLimiter } from './memory.ts';
import { describeRateLimiter } from './rate-behaviour.ts';
import { createRedisRateLimiter } from './redis.ts';

let server: TestRedis;
let one: RedisConnection;
let other: RedisConnection;
beforeAll(async () => {
  server = await startRedis();
  one = await readyRedis(server.url, 'test:');
  other = await readyRedis(server.url, 'test:');
});
afterAll(async () => {
  await Promise.all([one.close(), other.close()]);
  await server.stop();
});

const now = async (): Promise<number> => {
  const [seconds, micros] = (await one.send('', ['TIME'])) as [string, string];
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
};

describeRateLimiter('the rate limiter in Redis', () => ({
  limiter: createRedisRateLimiter({ redis: one }),
  now,
  waitFor: (time) => until(async () => (await now()) >= time),
}));

test('take() admits exactly the limit over two instances that race', async () => {
  const limiters = [one, other].map((redis) => createRedisRateLimiter({ redis }));
  const rule = { limit: 10, windowMs: 60_000 };
  const answers = await Promise.all(
    limiters.flatMap((limiter) => Array.from({ length: 100 }, () => limiter.take('two instances', rule))),
  );
  expect(answers.filter((answer) => answer.ok)).toHaveLength(10);
});

test('a key leaves nothing behind, and holds a bounded number of counters', async () => {
  const limiter = createRedisRateLimiter({ redis: one });
  const rule = { limit: 1_000_000, windowMs: 200 };
  const end = (await now()) + 700;
  await until(async () => {
    await limiter.take('left behind', rule);
    expect(Number(await one.send('', ['HLEN', 'test:{left behind}:rate:200']))).toBeLessThanOrEqual(102);
    return (await now()) > end;
  });
  expect(Number(await one.send('', ['PTTL', 'test:{left behind}:rate:200']))).toBeWithin(1, 203);
  await until(async () => (await one.send('', ['EXISTS', 'test:{left behind}:rate:200'])) === 0);
});

test('the local limiter decides, with its own bound, while Redis is frozen or away', async () => {
  await using mortal = await startRedis();
  const redis = await readyRedis(mortal.url);
  const causes: unknown[] = [];
  const limiter = createRedisRateLimiter({
    redis,
    timeoutMs: 50,
    local: createMemoryRateLimiter(),
    onFallback: (cause) => causes.push(cause),
  });
  const rule = { limit: 3, windowMs: 60_000 };
  const takeFive = async (key: string) => {
    let taken = 0;
    for (let n = 0; n < 5; n += 1) taken += (await limiter.take(key, rule)).taken;
    return taken;
  };
  mortal.freeze();
  expect(await takeFive('frozen')).toBe(3);
  mortal.thaw();
  await mortal.stop();
  await until(() => redis.state === 'away');
  expect(await takeFive('away')).toBe(3);
  expect(causes).toHaveLength(10);
  await redis.close();
});
