import { expect, setDefaultTimeout, test } from 'bun:test';
import { createTRPCClient, createWSClient, wsLink } from '@trpc/client';
import type { TopicItem, UsherRouter } from '@usher/contracts';
import { issueTicket, mutate } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { startPair } from './pair.ts';

setDefaultTimeout(60_000);

const numbers = (items: readonly TopicItem[]): unknown[] =>
  items.map((item) => (item.type === 'event' ? item.event.data : item.type));

test('a position of one instance is continued on the other, over 1, cap and cap + 1 missed events', async () => {
  await using pair = await startPair({ TOPIC_MAX_EVENTS: '50' });
  const { a, b } = pair;
  const token = await publisherToken();
  let published = 0;
  const publish = async (topic: string, count: number): Promise<void> => {
    const events = Array.from({ length: count }, () => {
      published += 1;
      return { name: 'e', data: published };
    });
    const answer = await mutate(published % 2 === 0 ? a : b, 'topic.publishMany', { topic, events }, { token });
    expect(answer.error).toBeUndefined();
  };
  for (const [missed, first] of [
    [1, 'resumed'],
    [50, 'resumed'],
    [51, 'reset'],
  ] as const) {
    // A topic of its own: the other instance has no memory of it, and asks the log.
    const topic = `public:missed-${missed}`;
    await using before = await openRaw(a, { token });
    const subscription = before.subscribe({ topic });
    await subscription.next();
    await publish(topic, 1);
    const { id } = await subscription.until(({ type }) => type === 'event');
    await before.close();
    const from = published;
    await publish(topic, missed);
    await using after = await openRaw(b, { token });
    const continued = after.subscribe({ topic, history: 3 }, { lastEventId: id });
    const { item } = await continued.next();
    expect(item.type).toBe(first);
    if (item.type === 'resumed') {
      expect(item.replayed).toBe(missed);
      await eventually(() => continued.events.length === missed);
      const wanted = Array.from({ length: missed }, (_, n) => from + n + 1);
      expect(continued.events.map(({ data }) => data)).toEqual(wanted);
    } else if (item.type === 'reset') {
      expect([item.reason, item.events.map(({ data }) => data)]).toEqual([
        'expired',
        [published - 2, published - 1, published],
      ]);
    }
    await publish(topic, 1);
    await continued.until((next) => next.type === 'event' && next.event.data === published);
  }
});

test('a stock tRPC client whose instance is killed goes on at the other one, without a gap or a double', async () => {
  await using pair = await startPair();
  const { a, b } = pair;
  const token = await publisherToken();
  const topic = 'public:stock';
  let target = a;
  const client = createWSClient({
    url: async () => `${target.wsUrl}/trpc?ticket=${await issueTicket(target, token)}`,
    retryDelayMs: () => 50,
  });
  const trpc = createTRPCClient<UsherRouter>({ links: [wsLink<UsherRouter>({ client })] });
  const items: TopicItem[] = [];
  const subscription = trpc.topic.subscribe.subscribe(
    { topic },
    { onData: (envelope) => void items.push((envelope as unknown as { data: TopicItem }).data) },
  );
  await eventually(() => items.length === 1);
  const total = 300;
  const publishing = (async () => {
    for (let n = 1; n <= total; n += 1) {
      const publish = () => mutate(b, 'topic.publish', { topic, event: { name: 'e', data: n } }, { token });
      expect((await publish()).error).toBeUndefined();
    }
  })();
  await eventually(() => items.length > 50);
  target = b;
  await a.kill();
  await publishing;
  await eventually(() => numbers(items).at(-1) === total);
  const seen = numbers(items);
  expect(seen.filter((one) => typeof one === 'number')).toEqual(Array.from({ length: total }, (_, n) => n + 1));
  expect(seen.filter((one) => typeof one === 'string')).toEqual(['snapshot', 'resumed']);
  subscription.unsubscribe();
  await client.close();
});
