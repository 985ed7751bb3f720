import { expect, test } from 'bun:test';
import { backoffMs } from './backoff.ts';

const widest = (failures: number, options = {}) => backoffMs(failures, { ...options, random: () => 0.999999 });

test('backoffMs() doubles its widest delay from 500 ms up to 20 s', () => {
  expect([0, 1, 2, 3, 4, 5, 6, 7].map((failures) => widest(failures))).toEqual([
    500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000,
  ]);
});

test('backoffMs() draws from the whole width, down to nothing', () => {
  expect(backoffMs(3, { random: () => 0 })).toBe(0);
  expect(backoffMs(3, { random: () => 0.5 })).toBe(2_000);
});

test('backoffMs() takes its initial, longest and multiplier from the options', () => {
  expect(widest(2, { initialMs: 100, multiplier: 3, maxMs: 850 })).toBe(850);
  expect(widest(1, { initialMs: 100, multiplier: 3, maxMs: 850 })).toBe(300);
});

test('backoffMs() stays a number after a year of failures', () => {
  expect(widest(1e6)).toBe(20_000);
});
