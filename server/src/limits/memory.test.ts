import { expect, test } from 'bun:test';
import { createMemoryRateLimiter } from './memory.ts';
import { describeRateLimiter } from './rate-behaviour.ts';

let clock = 1_000_000;
const now = () => clock;
const limiter = createMemoryRateLimiter({ now });

describeRateLimiter('the rate limiter in memory', () => ({
  limiter,
  now: async () => {
    clock += 1;
    return clock;
  },
  waitFor: async (until) => {
    clock = Math.max(clock, until);
  },
}));

test('the key used longest ago is forgotten when there are too many', async () => {
  const small = createMemoryRateLimiter({ now, maxKeys: 2 });
  const rule = { limit: 1, windowMs: 60_000 };
  await small.take('a', rule);
  await small.take('b', rule);
  expect((await small.take('a', rule)).ok).toBe(false);
  await small.take('c', rule);
  expect((await small.take('a', rule)).ok).toBe(false);
  expect((await small.take('b', rule)).ok).toBe(true);
});

test('a clock set back does not lose what was taken', async () => {
  let time = 500_000;
  const stepping = createMemoryRateLimiter({ now: () => time });
  const rule = { limit: 2, windowMs: 1_000 };
  await stepping.take('stepping', rule);
  time -= 100_000;
  await stepping.take('stepping', rule);
  expect((await stepping.take('stepping', rule)).ok).toBe(false);
});
