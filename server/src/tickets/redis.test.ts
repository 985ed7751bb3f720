import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { RedisConnection } from '../redis/connection.ts';
import { createRedisTicketStore } from './redis.ts';
import type { TicketStore } from './store.ts';
import { describeTicketStore } from './store-behaviour.ts';
import { readyRedis, startRedis, type TestRedis } from './testing.ts';

let server: TestRedis;
let redis: RedisConnection;
let store: TicketStore;
beforeAll(async () => {
  server = await startRedis();
  redis = await readyRedis(server.url, 'test:');
  store = createRedisTicketStore({ redis });
});
afterAll(async () => {
  await redis.close();
  await server.stop();
});

describeTicketStore('the ticket store in Redis', () => store);

const send = (...args: string[]) => redis.send(args[1] ?? '', args);

test('the keys of a ticket share one slot, have a life each, and none is left without', async () => {
  await store.put('abc', 'record', 30_000);
  expect(Number(await send('PTTL', 'test:{t:abc}:ticket'))).toBeWithin(1, 30_001);
  await store.take('abc', 10_000);
  expect(await send('EXISTS', 'test:{t:abc}:ticket')).toBe(0);
  expect(Number(await send('PTTL', 'test:{t:abc}:consumed'))).toBeWithin(1, 10_001);
  await store.claim('abc', 'attempt', 60_000);
  expect(await send('EXISTS', 'test:{t:abc}:consumed')).toBe(0);
  expect(Number(await send('PTTL', 'test:{t:abc}:established'))).toBeWithin(1, 60_001);
  expect(await send('GET', 'test:{t:abc}:established')).toBe('attempt');
});

test('take() and claim() still work on a ticket that was issued before Redis was full', async () => {
  await store.put('full', 'record', 30_000);
  await send('CONFIG', 'SET', 'maxmemory', '1');
  try {
    await expect(store.put('more', 'record', 30_000)).rejects.toThrow('OOM');
    expect(await store.take('full', 10_000)).toEqual({ from: 'ticket', record: 'record' });
    expect(await store.take('full', 10_000)).toEqual({ from: 'mirror', record: 'record' });
    expect(await store.claim('full', 'attempt', 60_000)).toBe(true);
  } finally {
    await send('CONFIG', 'SET', 'maxmemory', '0');
  }
});
