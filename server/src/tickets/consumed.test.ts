import { expect, test } from 'bun:test';
import { createConsumed } from './consumed.ts';
import type { TicketRecord } from './record.ts';
import { principalOf } from './testing.ts';

const record = (userId: string): TicketRecord => ({
  v: 1,
  principal: principalOf(userId),
  issuedAt: 0,
  expiresAt: 30_000,
});

test('get() gives a record until its time is over, swept or not', () => {
  let at = 1_000;
  const consumed = createConsumed({ ttlMs: 10_000, size: 10, now: () => at });
  consumed.keep('a', record('ada'), at);
  at = 10_999;
  expect(consumed.get('a')?.principal.userId).toBe('ada');
  at = 11_000;
  expect(consumed.get('a')).toBeUndefined();
  expect(consumed.size).toBe(1);
});

test('sweep() clears out what is over and keeps the rest', () => {
  let at = 0;
  const consumed = createConsumed({ ttlMs: 10_000, size: 10, now: () => at });
  consumed.keep('a', record('ada'), 0);
  consumed.keep('b', record('bob'), 5_000);
  at = 10_000;
  consumed.sweep();
  expect(consumed.size).toBe(1);
  expect(consumed.get('b')?.principal.userId).toBe('bob');
});

test('keep() pushes out the oldest at the bound and sweep() tells how many', () => {
  const consumed = createConsumed({ ttlMs: 10_000, size: 3, now: () => 0 });
  for (const hash of ['a', 'b', 'c', 'd', 'e']) consumed.keep(hash, record(hash), 0);
  expect(consumed.size).toBe(3);
  expect(consumed.get('b')).toBeUndefined();
  expect(consumed.get('c')).toBeDefined();
  expect(consumed.sweep()).toBe(2);
  expect(consumed.sweep()).toBe(0);
});
