import { expect, setDefaultTimeout, test } from 'bun:test';
import type { PollAnswer, TopicItem } from '@usher/contracts';
import { mutate, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import type { RawSubscription } from '../harness/raw-subscription.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { startPair } from './pair.ts';

setDefaultTimeout(60_000);

const topic = 'public:away';
const told = (items: readonly { readonly item: TopicItem }[]): unknown[] =>
  items.map(({ item }) => (item.type === 'event' ? item.event.data : item.type));
const kinds = (subscription: RawSubscription): unknown[] => told(subscription.items);

async function startScene() {
  const pair = await startPair();
  const token = await publisherToken();
  const publish = (on: 'a' | 'b', data: unknown, more: object = {}) =>
    mutate<{ position: string | null; durable: boolean }>(
      pair[on],
      'topic.publish',
      { topic, event: { name: 'e', data }, ...more },
      { token },
    );
  const isAway = () =>
    eventually(async () => {
      const ready = await Promise.all([pair.a, pair.b].map(async ({ url }) => (await fetch(`${url}/readyz`)).status));
      return ready.every((status) => status === 503);
    });
  const [one, other] = [await openRaw(pair.a, { token }), await openRaw(pair.b, { token })];
  const subscriptions = [one.subscribe({ topic }), other.subscribe({ topic })] as const;
  await Promise.all(subscriptions.map((subscription) => subscription.next()));
  return {
    ...pair,
    token,
    publish,
    isAway,
    subscriptions,
    async [Symbol.asyncDispose]() {
      await one.close();
      await other.close();
      await pair[Symbol.asyncDispose]();
    },
  };
}

const toldOf = (subscription: RawSubscription, wanted: string) =>
  subscription.until(({ type }) => type === wanted, { timeoutMs: 30_000 });

test('Redis that is frozen and thaws is told as degraded and restored, and nothing is missed', async () => {
  await using scene = await startScene();
  await scene.publish('a', 1, { state: { n: 1 } });
  scene.redis.freeze();
  for (const subscription of scene.subscriptions) await toldOf(subscription, 'degraded');

  // Refused, and nothing claimed; or delivered to this instance, marked, without a position.
  expect((await scene.publish('a', 2)).error?.code).toBe('REDIS_NOT_READY');
  expect((await scene.publish('a', 3, { durable: false })).data).toMatchObject({ position: null, durable: false });
  const [mine, others] = scene.subscriptions;
  const local = await mine.until((item) => item.type === 'event' && item.event.data === 3);
  expect(local.item).toMatchObject({ event: { position: null, durable: false } });

  // Polls, new snapshots and the state come from what this instance knows.
  const ask = <T>(path: string, input: object) => query<T>(scene.a, path, { topic, ...input }, { token: scene.token });
  const poll = await ask<PollAnswer>('topic.poll', { history: 5 });
  expect(told(poll.data?.items ?? [])).toEqual(['snapshot', 'degraded']);
  expect(poll.data?.items[0]?.item).toMatchObject({ state: { n: 1 }, events: [{ data: 1 }] });
  expect((await ask('topic.state', {})).data).toMatchObject({ state: { n: 1 } });
  const again = ask<PollAnswer>('topic.poll', { lastEventId: poll.data?.lastEventId, waitMs: 20_000 });

  scene.redis.thaw();
  for (const subscription of scene.subscriptions) await toldOf(subscription, 'restored');
  expect(told((await again).data?.items ?? [])).toEqual(['restored']);
  await eventually(async () => (await scene.publish('b', 4)).status === 200);
  for (const subscription of scene.subscriptions) {
    await subscription.until((item) => item.type === 'event' && item.event.data === 4);
  }
  expect(kinds(mine)).toEqual(['snapshot', 1, 'degraded', 3, 'restored', 4]);
  expect(kinds(others)).toEqual(['snapshot', 1, 'degraded', 'restored', 4]);
});

test.each([
  ['with its data', true, 'restored'],
  ['empty', false, 'reset'],
] as const)('Redis that comes back %s is told so, to all, with one warning a line', async (_, keepData, word) => {
  await using scene = await startScene();
  await scene.publish('a', 1);
  await scene.publish('b', 2);
  if (keepData) await scene.redis.command('SAVE');
  await (keepData ? scene.redis.kill() : scene.redis.stop());
  await scene.isAway();
  for (const subscription of scene.subscriptions) await toldOf(subscription, 'degraded');
  await scene.redis.start();
  for (const subscription of scene.subscriptions) await toldOf(subscription, word);
  await eventually(async () => (await scene.publish('b', 3)).status === 200);
  for (const subscription of scene.subscriptions) {
    await subscription.until((item) => item.type === 'event' && item.event.data === 3);
    expect(kinds(subscription)).toEqual(['snapshot', 1, 2, 'degraded', word, 3]);
  }
  for (const server of [scene.a, scene.b]) {
    const warnings = server.logs().filter(({ msg }) => msg === '[Redis] away');
    // One for each line at the start, when Redis was not connected yet or was at once, and one for its going.
    expect(warnings.filter(({ line }) => line === 'commands').length).toBeLessThanOrEqual(2);
    expect(server.logs().filter(({ level }) => level === 'error')).toEqual([]);
  }
});

test('subscriptions whose connections Redis cuts hear what was published meanwhile', async () => {
  await using scene = await startScene();
  for (let n = 1; n <= 200; n += 1) {
    if (n % 50 === 0) await scene.redis.command('CLIENT', 'KILL', 'TYPE', n % 100 === 0 ? 'pubsub' : 'normal');
    await eventually(
      async () => (await scene.publish(n % 2 ? 'a' : 'b', n, { idempotencyKey: `k${n}` })).status === 200,
    );
  }
  for (const subscription of scene.subscriptions) {
    await subscription.until((item) => item.type === 'event' && item.event.data === 200, { timeoutMs: 30_000 });
    const numbers = kinds(subscription).filter((kind) => typeof kind === 'number');
    expect(numbers).toEqual(Array.from({ length: 200 }, (_, n) => n + 1));
    expect(kinds(subscription)).not.toContain('reset');
  }
});
