import { expect, test } from 'bun:test';
import { createMemoryTicketStore } from './memory.ts';
import { describeTicketStore } from './store-behaviour.ts';

const store = createMemoryTicketStore();
describeTicketStore('the ticket store in memory', () => store);

test('put() refuses past maxTickets and takes again once the old have expired', async () => {
  let at = 0;
  const bounded = createMemoryTicketStore({ maxTickets: 2, sweepMs: 10, now: () => at });
  await bounded.put('a', 'record', 100);
  await bounded.put('b', 'record', 100);
  await expect(bounded.put('c', 'record', 100)).rejects.toThrow('full: 2 tickets');
  at = 100;
  await bounded.put('c', 'record', 100);
  expect(await bounded.take('c', 100)).not.toBeNull();
});
