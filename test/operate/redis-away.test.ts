import { expect, test } from 'bun:test';
import type { PollAnswer, Readiness } from '@usher/contracts';
import { get, mutate, query } from '../harness/http.ts';
import { freePort } from '../harness/port.ts';
import { openRaw } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { startBalancer } from './balancer.ts';

test('with Redis away nobody is ready, and the balancer still sends to who lives: polls are served, the rest is refused by name', async () => {
  await using redis = await startRedis();
  const ports = [await freePort(), await freePort()] as const;
  await using one = await startServer({ env: { REDIS_URL: redis.url, PORT: String(ports[0]) } });
  await using two = await startServer({ env: { REDIS_URL: redis.url, PORT: String(ports[1]) } });
  await using balancer = await startBalancer(ports);
  await balancer.hasUp(2);
  const token = await publisherToken();
  const event = { name: 'tick', data: { n: 1 } };
  await mutate(balancer, 'topic.publish', { topic: 'public:news', event }, { token });
  // Somebody listens on each instance, so that each knows the topic.
  await using here = await openRaw(one, { token });
  await using there = await openRaw(two, { token });
  const subscriptions = [here, there].map((client) => client.subscribe({ topic: 'public:news', history: 10 }));
  for (const subscription of subscriptions) await subscription.until(({ type }) => type === 'snapshot');
  await mutate(balancer, 'topic.publish', { topic: 'public:news', event }, { token });
  for (const subscription of subscriptions) await subscription.until((item) => item.type === 'event');

  await redis.stop();
  await balancer.hasUp(0);
  const ready = await get<Readiness>(balancer, '/readyz');
  expect(ready.status).toBe(503);
  expect(ready.data?.checks.redis, 'an instance answers, and not the balancer').toMatchObject({ ok: false });
  for (let turn = 0; turn < 4; turn += 1) {
    const poll = await query<PollAnswer>(balancer, 'topic.poll', { topic: 'public:news' }, { token });
    expect(poll.data?.items.map(({ item }) => item.type)).toEqual(['snapshot', 'degraded']);
    const refused = await mutate(balancer, 'topic.publish', { topic: 'public:news', event }, { token });
    expectRefusal(refused, 503, 'REDIS_NOT_READY');
  }
  expect(here.isOpen() && there.isOpen()).toBe(true);

  await redis.start();
  await balancer.hasUp(2);
  await eventually(
    async () => (await mutate(balancer, 'topic.publish', { topic: 'public:news', event }, { token })).status === 200,
  );
}, 60_000);
