import { expect, setDefaultTimeout, test } from 'bun:test';
import type { TopicItem } from '@usher/contracts';
import { mutate } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import { type Replica, startReplica } from '../harness/redis-replica.ts';
import { type Server, startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { primaryAddress } from './address.ts';

setDefaultTimeout(60_000);

const topic = 'public:failover';

interface Scene extends AsyncDisposable {
  readonly servers: readonly [Server, Server];
  readonly primary: Redis;
  readonly replica: Replica;
  readonly token: string;
  /** The replica becomes the primary, and the address its own. */
  failOver(how: 'killed' | 'demoted'): Promise<void>;
  /** Publishes on one of the servers until it is taken. */
  publish(on: number, data: unknown): Promise<void>;
}

async function startScene(): Promise<Scene> {
  const primary = await startRedis();
  const replica = await startReplica(primary);
  const address = await primaryAddress(primary.port);
  const start = () => startServer({ env: { REDIS_URL: address.url } });
  const servers: [Server, Server] = await Promise.all([start(), start()]);
  for (const { url } of servers) await eventually(async () => (await fetch(`${url}/readyz`)).ok);
  const token = await publisherToken();
  return {
    servers,
    primary,
    replica,
    token,
    async failOver(how) {
      await replica.promote();
      address.pointTo(replica.port);
      if (how === 'killed') await primary.kill();
      else await primary.command('REPLICAOF', '127.0.0.1', String(replica.port));
    },
    async publish(on, data) {
      const input = { topic, event: { name: 'e', data }, idempotencyKey: `k${String(data)}` };
      await eventually(
        async () => (await mutate(servers[on] as Server, 'topic.publish', input, { token })).status === 200,
      );
    },
    async [Symbol.asyncDispose]() {
      for (const server of servers) await server.kill();
      await address[Symbol.asyncDispose]();
      await replica[Symbol.asyncDispose]();
      await primary[Symbol.asyncDispose]();
    },
  };
}

const isInStep = async ({ primary, replica }: Scene): Promise<boolean> => {
  const offset = (info: unknown) => /master_repl_offset:(\d+)/.exec(String(info))?.[1];
  return offset(await primary.command('INFO', 'replication')) === offset(await replica.command('INFO', 'replication'));
};
const told = (items: readonly { readonly item: TopicItem }[]): unknown[] =>
  items.map(({ item }) => (item.type === 'event' ? item.event.data : item.type));

test.each(['killed', 'demoted'] as const)(
  'a primary that is %s loses nothing when its replica was in step',
  async (how) => {
    await using scene = await startScene();
    const [a, b] = scene.servers;
    await using one = await openRaw(a, { token: scene.token });
    await using other = await openRaw(b, { token: scene.token });
    const subscriptions = [one.subscribe({ topic }), other.subscribe({ topic })];
    await Promise.all(subscriptions.map((subscription) => subscription.next()));
    for (let n = 1; n <= 5; n += 1) await scene.publish(n % 2, n);
    await eventually(() => isInStep(scene));
    await scene.failOver(how);
    for (let n = 6; n <= 10; n += 1) await scene.publish(n % 2, n);
    for (const subscription of subscriptions) {
      await subscription.until((item) => item.type === 'event' && item.event.data === 10);
      const kinds = told(subscription.items);
      expect(kinds.filter((kind) => typeof kind === 'number')).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      expect(kinds).not.toContain('reset');
      // Whoever was told of the absence was told of its end.
      await eventually(() => {
        const changes = told(subscription.items).filter((kind) => kind === 'degraded' || kind === 'restored');
        return changes.length % 2 === 0;
      });
    }
    await using late = await openRaw(b, { token: scene.token });
    const resumed = late.subscribe(
      { topic },
      { lastEventId: subscriptions[0]?.items.find(({ item }) => item.type === 'event')?.id },
    );
    expect((await resumed.next()).item).toEqual({ type: 'resumed', replayed: 9 });
  },
);

test('a replica that had not everything is another log under the same numbers: connected, resuming and polling readers are told', async () => {
  await using scene = await startScene();
  const [a, b] = scene.servers;
  await using client = await openRaw(a, { token: scene.token });
  const subscription = client.subscribe({ topic });
  await subscription.next();
  for (let n = 1; n <= 3; n += 1) await scene.publish(0, n);
  await eventually(() => isInStep(scene));
  // From here on the replica goes its own way, and what is promised now is lost with the primary.
  await scene.replica.promote();
  for (let n = 4; n <= 6; n += 1) await scene.publish(0, n);
  const { id } = await subscription.until((item) => item.type === 'event' && item.event.data === 6);
  await scene.failOver('killed');
  // As many as were lost, so that the new log reaches the same numbers.
  for (let n = 11; n <= 13; n += 1) await scene.publish(1, n);
  const reset = await subscription.until(({ type }) => type === 'reset');
  expect(reset.item).toMatchObject({ type: 'reset', reason: expect.stringMatching(/expired|unknown/) });
  await scene.publish(1, 14);
  await subscription.until((item) => item.type === 'event' && item.event.data === 14);

  await using late = await openRaw(b, { token: scene.token });
  const resumed = late.subscribe({ topic, history: 10 }, { lastEventId: id });
  const { item } = await resumed.next();
  expect(item.type === 'reset' && item.events.map(({ data }) => data)).toEqual([1, 2, 3, 11, 12, 13, 14]);
  const poll = await late.query<{ items: { item: TopicItem }[] }>('topic.poll', { topic, lastEventId: id });
  expect(poll.data?.items.map(({ item: polled }) => polled.type)).toEqual(['reset']);
});

test('an idle topic is told that its log is another one, though nothing is ever written again', async () => {
  await using scene = await startScene();
  await using client = await openRaw(scene.servers[0], { token: scene.token });
  const subscription = client.subscribe({ topic });
  await subscription.next();
  await scene.publish(0, 1);
  await eventually(() => isInStep(scene));
  await scene.replica.promote();
  await scene.publish(0, 2);
  await subscription.until((item) => item.type === 'event' && item.event.data === 2);
  await scene.failOver('killed');
  await subscription.until(({ type }) => type === 'reset', { timeoutMs: 30_000 });
  expect(told(subscription.items).filter((kind) => kind !== 'degraded')).toEqual(['snapshot', 1, 2, 'reset']);
});
