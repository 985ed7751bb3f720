import { expect, test } from 'bun:test';
import { createBreaker } from './breaker.ts';
import { createFakeClock } from './fake-clock.fixture.ts';

const fail = (breaker: ReturnType<typeof createBreaker>, times: number) => {
  for (let n = 0; n < times; n += 1) {
    breaker.take();
    breaker.failed();
  }
};

test('a breaker opens after the threshold, and lets one probe go when its time is up', async () => {
  const clock = createFakeClock();
  const breaker = createBreaker(clock, () => 0, { failures: 3, openMs: 1_000 });
  fail(breaker, 2);
  expect(breaker.state).toBe('closed');
  expect(breaker.waitMs()).toBe(0);
  fail(breaker, 1);
  expect(breaker.state).toBe('open');
  expect(breaker.waitMs()).toBe(1_000);
  await clock.advance(1_000);
  expect(breaker.waitMs()).toBe(0);
  breaker.take();
  expect(breaker.state).toBe('half-open');
});

test('a breaker opens again when the probe fails, and closes when what came of it is healthy', async () => {
  const clock = createFakeClock();
  const breaker = createBreaker(clock, () => 0, { failures: 3, openMs: 1_000 });
  fail(breaker, 3);
  await clock.advance(1_000);
  fail(breaker, 1);
  expect(breaker.state).toBe('open');
  expect(breaker.waitMs()).toBe(1_000);
  await clock.advance(1_000);
  breaker.take();
  breaker.healthy();
  expect(breaker.state).toBe('closed');
  fail(breaker, 2);
  expect(breaker.state).toBe('closed');
});

test('breakers that opened together do not probe together', () => {
  const clock = createFakeClock();
  const waits = [0, 0.5, 0.9].map((drawn) => {
    const breaker = createBreaker(clock, () => drawn, { failures: 1, openMs: 1_000 });
    fail(breaker, 1);
    return breaker.waitMs();
  });
  expect(waits).toEqual([1_000, 1_250, 1_450]);
});
