import { expect, test } from 'bun:test';
import type { Published, Readiness } from '@usher/contracts';
import { get, mutate, type Target } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { type RedisOptions, startRedis } from '../harness/redis.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';

// What docs/operating.md says of each way to run Redis, shown.

const isReady = (server: Target) => eventually(async () => (await get(server, '/readyz')).status === 200);

const publish = (server: Target, token: string, topic: string, data: object) =>
  mutate<Published>(server, 'topic.publish', { topic, event: { name: 'tick', data } }, { token });

interface Way {
  readonly name: string;
  readonly options: RedisOptions;
  /** Makes a dump after the first event and before the second. */
  readonly dumps: boolean;
  /** What a subscriber is told when Redis is back. */
  readonly told: 'restored' | 'reset';
  /** Events of two that Redis still has. */
  readonly kept: number;
}

const ways: readonly Way[] = [
  {
    name: 'an append-only file, written every second',
    options: { flags: ['--appendonly', 'yes', '--appendfsync', 'everysec'] },
    dumps: false,
    told: 'restored',
    kept: 2,
  },
  { name: 'dumps', options: {}, dumps: true, told: 'reset', kept: 1 },
  { name: 'nothing on disk', options: {}, dumps: false, told: 'reset', kept: 0 },
];

test.each(ways)(
  'a Redis with $name that is killed: $kept of 2 events are kept, and subscribers are told',
  async (way) => {
    await using redis = await startRedis(way.options);
    await using server = await startServer({ env: { REDIS_URL: redis.url } });
    await isReady(server);
    const token = await publisherToken();
    await using client = await openRaw(server, { token });
    const news = client.subscribe({ topic: 'public:news' });
    await news.until(({ type }) => type === 'snapshot');
    await publish(server, token, 'public:news', { n: 1 });
    if (way.dumps) await redis.command('SAVE');
    await publish(server, token, 'public:news', { n: 2 });
    await eventually(() => news.events.length === 2);

    await redis.kill();
    await redis.start();
    await news.until(({ type }) => type === 'degraded');
    await news.until(({ type }) => type === way.told);
    expect(news.items.map(({ item }) => item.type)).toEqual(['snapshot', 'event', 'event', 'degraded', way.told]);
    expect(Number(await redis.command('XLEN', 'usher:{public:news}:log'))).toBe(way.kept);
  },
);

test('a full Redis refuses what is published, keeps what it has, and takes more when there is room', async () => {
  await using redis = await startRedis({ flags: ['--maxmemory', '6mb', '--maxmemory-policy', 'noeviction'] });
  await using server = await startServer({ env: { REDIS_URL: redis.url } });
  await isReady(server);
  const token = await publisherToken();
  await using client = await openRaw(server, { token });
  const small = client.subscribe({ topic: 'public:small' });
  await small.until(({ type }) => type === 'snapshot');
  await publish(server, token, 'public:small', { n: 1 });

  const big = { text: 'x'.repeat(60_000) };
  let refused = await publish(server, token, 'public:big', big);
  for (let at = 0; at < 200 && refused.status === 200; at += 1)
    refused = await publish(server, token, 'public:big', big);
  expectRefusal(refused, 503, 'REDIS_NOT_READY');
  expect(client.isOpen()).toBe(true);
  expect(Number(await redis.command('XLEN', 'usher:{public:small}:log'))).toBe(1);

  // One that looks now; the first looks every 15 s.
  await using fresh = await startServer({ env: { REDIS_URL: redis.url } });
  await isReady(fresh);
  const { data } = await get<Readiness>(fresh, '/readyz');
  expect(data?.checks.eviction).toMatchObject({
    ok: true,
    policy: 'noeviction',
    warning: expect.stringContaining('%'),
  });

  expect((await mutate(server, 'topic.delete', { topic: 'public:big' }, { token })).data).toEqual({ deleted: true });
  const published = await publish(server, token, 'public:small', { n: 2 });
  expect(published.data?.durable).toBe(true);
  expect((await small.until(({ type }) => type === 'event')).id).toMatch(/-1$/);
  expect((await small.until(({ type }) => type === 'event')).id).toBe(published.data?.position ?? '');
});
