import { expect, test } from 'bun:test';
import { createRandom } from './random.ts';

const some = (random = createRandom(1)) => Array.from({ length: 5 }, () => random.int(0, 1_000_000));

test('the same seed gives the same choices, another one others', () => {
  expect(some()).toEqual(some());
  expect(some(createRandom(2))).not.toEqual(some());
});

test('fork() does not depend on what was chosen before it', () => {
  const one = createRandom(1);
  some(one);
  expect(some(one.fork('a'))).toEqual(some(createRandom(1).fork('a')));
  expect(some(one.fork('b'))).not.toEqual(some(one.fork('a')));
});

test('int() stays within its bounds and reaches both', () => {
  const random = createRandom(3);
  const seen = new Set(Array.from({ length: 200 }, () => random.int(2, 4)));
  expect([...seen].sort()).toEqual([2, 3, 4]);
});
