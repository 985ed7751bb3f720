import { expect, test } from 'bun:test';
import type { Entry } from '../topics/log.ts';
import { Ring } from './ring.ts';

const entry = (n: number, text = 'x'): Entry => ({ position: `1-${n}`, tail: text });
const filled = (count: number, limits: { readonly maxEvents: number; readonly maxBytes: number }, text = 'x'): Ring => {
  const ring = new Ring('1-0', limits);
  for (let n = 1; n <= count; n += 1) ring.push(entry(n, text));
  return ring;
};
const numbers = (entries: readonly Entry[] | undefined) => entries?.map(({ position }) => Number(position.slice(2)));

test('since() gives what came after a position it reaches back to, and nothing for any other', () => {
  const ring = filled(3, { maxEvents: 10, maxBytes: 100 });
  expect(numbers(ring.since('1-0'))).toEqual([1, 2, 3]);
  expect(numbers(ring.since('1-2'))).toEqual([3]);
  expect(numbers(ring.since('1-3'))).toEqual([]);
  expect(ring.since('1-4')).toBeUndefined();
  expect(ring.since('0-0')).toBeUndefined();
});

test('holds at least as many events as it may, and at most twice as many', () => {
  const ring = filled(0, { maxEvents: 10, maxBytes: 1_000 });
  for (let n = 1; n <= 1_000; n += 1) {
    ring.push(entry(n));
    expect(ring.size).toBeWithin(Math.min(n, 10), 21);
    const oldest = n - ring.size;
    expect(numbers(ring.since(`1-${oldest}`))).toHaveLength(ring.size);
    expect(oldest === 0 || ring.since(`1-${oldest - 1}`) === undefined).toBe(true);
  }
});

test('holds at most twice the bytes it may, counted as they travel', () => {
  const ring = filled(0, { maxEvents: 1_000, maxBytes: 100 });
  for (let n = 1; n <= 100; n += 1) {
    ring.push(entry(n, 'ä'.repeat(10)));
    expect(ring.size * 20).toBeLessThanOrEqual(200);
  }
  expect(ring.size).toBeGreaterThanOrEqual(5);
});

test('lets go of an event that is larger than everything it may hold', () => {
  const ring = filled(3, { maxEvents: 10, maxBytes: 100 });
  ring.push(entry(4, 'x'.repeat(500)));
  expect(ring.size).toBe(0);
  expect(numbers(ring.since('1-4'))).toEqual([]);
  ring.push(entry(5));
  expect(numbers(ring.since('1-4'))).toEqual([5]);
});

test('last() gives the newest, oldest first, within its bounds', () => {
  const ring = filled(5, { maxEvents: 10, maxBytes: 1_000 }, 'ä'.repeat(5));
  expect(numbers(ring.last(2, 1_000))).toEqual([4, 5]);
  expect(numbers(ring.last(99, 1_000))).toEqual([1, 2, 3, 4, 5]);
  expect(numbers(ring.last(99, 25))).toEqual([4, 5]);
  expect(numbers(ring.last(99, 5))).toEqual([]);
  expect(numbers(ring.last(0, 1_000))).toEqual([]);
});

test('clear() forgets everything but where it begins', () => {
  const ring = filled(5, { maxEvents: 10, maxBytes: 1_000 });
  ring.clear('2-9');
  expect([ring.size, ring.has('1-5'), ring.has('2-9')]).toEqual([0, false, true]);
  expect(ring.since('1-5')).toBeUndefined();
});
