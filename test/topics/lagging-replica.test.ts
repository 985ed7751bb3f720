import { expect, setDefaultTimeout, test } from 'bun:test';
import { query } from '../harness/http.ts';
import { startProxy } from '../harness/proxy.ts';
import { openRaw } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { startReplica } from '../harness/redis-replica.ts';
import { startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { isReady, logged, publish, subscribe, types } from './cluster.fixture.ts';

setDefaultTimeout(60_000);

test('a replica that lacked acknowledged events is promoted: who had them is told, and nobody else', async () => {
  await using primary = await startRedis();
  await using link = await startProxy(primary.port);
  await using replica = await startReplica({ ...primary, port: link.port });
  await using server = await startServer({ env: { REDIS_URL: primary.url, LOG_LEVEL: 'debug' } });
  await isReady(server);
  const token = await publisherToken();
  await using client = await openRaw(server, { token });
  const lossy = ['public:connected', 'public:resuming', 'public:polling'] as const;
  const kept = 'public:kept';
  const connected = await subscribe(client, lossy[0]);
  const whole = await subscribe(client, kept);
  for (const topic of [...lossy, kept]) {
    for (const number of [1, 2, 3]) expect((await publish(server, token, topic, number)).status).toBe(200);
  }
  await eventually(async () => Number(await replica.command('XLEN', `usher:{${kept}}:log`)) === 3, {
    what: 'the replica to have what was published',
  });

  link.blackhole();
  const vanished = new Map<string, string>();
  for (const topic of lossy) {
    const answer = await publish(server, token, topic, 'vanishes');
    vanished.set(topic, String(answer.data?.position));
  }
  await connected.until((item) => item.type === 'event' && item.event.data === 'vanishes');
  await primary.kill();
  link.cut();
  await replica.promote();
  await using _there = await startProxy(replica.port, primary.port);

  const reset = await connected.until((item) => item.type === 'reset');
  expect(reset.item).toMatchObject({ type: 'reset', reason: 'unknown' });
  await whole.until((item) => item.type === 'restored');
  await isReady(server);
  const resumed = await subscribe(client, lossy[1], vanished.get(lossy[1]));
  expect(types(resumed)[0]).toBe('reset');
  const polled = await query<{ items: { item: { type: string } }[] }>(
    server,
    'topic.poll',
    { topic: lossy[2], lastEventId: vanished.get(lossy[2]) },
    { token },
  );
  expect(polled.data?.items[0]?.item.type).toBe('reset');

  for (const live of [connected, whole, resumed]) {
    const topic = live === connected ? lossy[0] : live === whole ? kept : lossy[1];
    expect((await publish(server, token, topic, 'after')).status).toBe(200);
    await live.until((item) => item.type === 'event' && item.event.data === 'after');
    expect(await logged(server, token, topic)).toEqual([1, 2, 3, 'after']);
  }
  expect(types(connected).filter((type) => type === 'reset')).toHaveLength(1);
  expect(types(whole)).toEqual(['snapshot', 'event', 'event', 'event', 'degraded', 'restored', 'event']);
  expect(server.logs().filter(({ level }) => level === 'error')).toEqual([]);
});
