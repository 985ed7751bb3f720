import { expect, test } from 'bun:test';
import { createMemoryTicketStore } from './memory.ts';
import { createOwed } from './owed.ts';
import type { Pass, PassState } from './pass.ts';
import { captureLog, principalOf, until } from './testing.ts';

const debtOf = (hash: string): [Pass, PassState] => {
  const principal = principalOf('ada');
  return [
    { ticketId: hash, principal, issuedAt: 0, source: 'redis', needsNonce: false },
    { hash, attempt: `attempt-${hash}`, at: 0, traceId: 't', record: { v: 1, principal, issuedAt: 0, expiresAt: 1 } },
  ];
};

function setUp(size: number) {
  const store = createMemoryTicketStore();
  const lost: string[] = [];
  const { log, lines } = captureLog();
  const onLost = (pass: Pass) => {
    lost.push(pass.ticketId);
    throw new Error('the reporter fails');
  };
  const owed = createOwed({ store, log, size, keepMs: 1_000, tombstoneTtlMs: 60_000, now: () => 0, onLost });
  return { store, owed, lost, lines };
}

test('add() refuses at the bound', () => {
  const { owed } = setUp(2);
  expect(['a', 'b', 'c'].map((hash) => owed.add(...debtOf(hash)))).toEqual([true, true, false]);
  expect([owed.has('b'), owed.has('c'), owed.size]).toEqual([true, false, 2]);
});

test('sweep() settles every claim, more than go at once, and each is the attempt that is owed', async () => {
  const { store, owed } = setUp(100);
  const hashes = Array.from({ length: 100 }, (_, index) => `h${index}`);
  for (const hash of hashes) owed.add(...debtOf(hash));
  owed.sweep();
  await until(() => owed.size === 0);
  for (const hash of hashes) expect(await store.claim(hash, `attempt-${hash}`, 1)).toBe(true);
  expect(await store.claim('h7', 'another', 1)).toBe(false);
});

test('a claim that was lost is told once, and one that fails to tell stops nothing', async () => {
  const { store, owed, lost, lines } = setUp(10);
  await store.claim('a', 'somebody else', 60_000);
  await store.claim('b', 'somebody else', 60_000);
  for (const hash of ['a', 'b', 'c']) owed.add(...debtOf(hash));
  owed.sweep();
  await until(() => owed.size === 0);
  owed.sweep();
  expect(lost.sort()).toEqual(['a', 'b']);
  expect(lines.join()).toContain('could not be reported');
});
