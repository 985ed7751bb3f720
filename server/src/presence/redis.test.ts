import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { RedisConnection } from '../redis/connection.ts';
import { readyRedis, startRedis, type TestRedis, until } from '../tickets/testing.ts';
import { createRedisPresence } from './redis.ts';
import { describePresenceStore } from './store-behaviour.ts';

let server: TestRedis;
let one: RedisConnection;
let two: RedisConnection;
beforeAll(async () => {
  server = await startRedis();
  one = await readyRedis(server.url, 'test:');
  two = await readyRedis(server.url, 'test:');
});
afterAll(async () => {
  await Promise.all([one.close(), two.close()]);
  await server.stop();
});

const now = async (): Promise<number> => {
  const [seconds, micros] = (await one.send('', ['TIME'])) as [string, string];
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
};

describePresenceStore('the presence store in Redis', (limits) => ({
  store: createRedisPresence({ redis: one, timeoutMs: 10_000, ...limits }),
  other: createRedisPresence({ redis: two, timeoutMs: 10_000, ...limits }),
  elapse: async (ms) => {
    const end = (await now()) + ms;
    await until(async () => (await now()) >= end);
  },
}));

test('what is on the live channel is the form the hub reads', async () => {
  const heard: string[] = [];
  await one.subscribe('test:{job:form}:live', (message) => heard.push(message));
  const store = createRedisPresence({ redis: two });
  await store.hold('job:form', [{ connectionId: 'a', userId: 'a/"b', since: 12, info: '{"x":"/"}' }]);
  await store.leave('job:form', ['a']);
  await until(() => heard.length === 2);
  const member = { userId: 'a/"b', connections: 1, since: 12, info: { x: '/' } };
  expect(heard.map((message) => [message.slice(0, 2), JSON.parse(message.slice(2))])).toEqual([
    ['p\n', { joined: [member], left: [] }],
    ['p\n', { joined: [], left: [{ ...member, connections: 0 }] }],
  ]);
});

test('other messages of the channel are not taken for changes', async () => {
  const heard: string[] = [];
  const store = createRedisPresence({ redis: one });
  await store.listen('job:others', (change) => heard.push(change));
  for (const message of ['d', 'e\n1-0\n1-1 "name":"p"', 'p', 'p\n{"joined":[],"left":[]}']) {
    await two.send('', ['SPUBLISH', 'test:{job:others}:live', message]);
  }
  await until(() => heard.length > 0);
  expect(heard).toEqual(['{"joined":[],"left":[]}']);
});

test('nothing is left in Redis when all have left, or when all are dead', async () => {
  const store = createRedisPresence({ redis: one, leaseMs: 200 });
  await store.hold('job:left', [{ connectionId: 'a', userId: 'ann', since: 1 }]);
  expect(await one.send('', ['KEYS', 'test:{job:left}*'])).toHaveLength(2);
  await store.leave('job:left', ['a']);
  expect(await one.send('', ['KEYS', 'test:{job:left}*'])).toEqual([]);
  await store.hold('job:left', [{ connectionId: 'a', userId: 'ann', since: 1 }]);
  await until(async () => ((await one.send('', ['KEYS', 'test:{job:left}*'])) as string[]).length === 0);
});
