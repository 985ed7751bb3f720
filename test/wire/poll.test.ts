import { describe, expect, test } from 'bun:test';
import type { PollAnswer, TopicPage } from '@usher/contracts';
import { mutate, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { onEachServer } from './each-server.ts';

onEachServer((server) => {
  const publish = async (topic: string, count: number, first = 1): Promise<readonly string[]> => {
    const events = Array.from({ length: count }, (_, at) => ({ name: 'e', data: { n: first + at } }));
    const token = await publisherToken();
    const answer = await mutate<{ positions: string[] }>(server(), 'topic.publishMany', { topic, events }, { token });
    if (answer.data === undefined) throw new Error(answer.text);
    return answer.data.positions;
  };
  const numbersOf = (events: readonly { data: unknown }[]): number[] =>
    events.map(({ data }) => (data as { n: number }).n);

  describe('topic.poll', () => {
    const poll = async (input: Readonly<Record<string, unknown>>): Promise<PollAnswer> => {
      const answer = await query<PollAnswer>(server(), 'topic.poll', input, { token: await mintToken() });
      if (answer.data === undefined) throw new Error(answer.text);
      expect(Object.keys(answer.data).sort()).toEqual(['items', 'lastEventId']);
      return answer.data;
    };
    const eventsOf = ({ items }: PollAnswer): number[] =>
      items.flatMap(({ item }) => (item.type === 'event' ? numbersOf([item.event]) : []));

    test('begins with a snapshot, and goes on from its lastEventId without doubles or gaps', async () => {
      const topic = 'public:poll';
      await publish(topic, 3);
      const first = await poll({ topic, history: 2 });
      expect(first.items).toEqual([
        {
          id: expect.stringMatching(/^\d+-\d+~/) as never,
          item: {
            type: 'snapshot',
            state: null,
            events: [2, 3].map((n) => ({
              position: expect.any(String),
              at: expect.any(Number),
              name: 'e',
              data: { n },
            })) as never,
          },
        },
      ]);
      expect(first.lastEventId).toBe(first.items[0]?.id as string);
      const positions = await publish(topic, 3, 4);
      const second = await poll({ topic, lastEventId: first.lastEventId });
      expect(second.items.map(({ id }) => id)).toEqual([...positions]);
      expect(eventsOf(second)).toEqual([4, 5, 6]);
      expect(second.lastEventId).toBe(positions[2] as string);
      expect(await poll({ topic, lastEventId: second.lastEventId })).toEqual({
        items: [],
        lastEventId: second.lastEventId,
      });
    });

    test('gives at most `limit` items, and the rest with the next', async () => {
      const topic = 'public:poll-limit';
      const { lastEventId } = await poll({ topic });
      await publish(topic, 5);
      const seen: number[] = [];
      let at = lastEventId;
      for (let round = 0; round < 3; round++) {
        const answer = await poll({ topic, lastEventId: at, limit: 2 });
        expect(answer.items.length).toBeLessThanOrEqual(2);
        seen.push(...eventsOf(answer));
        at = answer.lastEventId;
      }
      expect(seen).toEqual([1, 2, 3, 4, 5]);
    });

    test('waits for the next event, and is answered when it comes', async () => {
      const topic = 'public:poll-wait';
      const { lastEventId } = await poll({ topic });
      const waiting = poll({ topic, lastEventId, waitMs: 25_000 });
      // A second one that has been answered was asked after the first.
      await poll({ topic, lastEventId });
      const [position] = await publish(topic, 1);
      const answer = await waiting;
      expect(answer.items.map(({ id }) => id)).toEqual([position as string]);
    });

    test('answers without items when nothing came in its time', async () => {
      const topic = 'public:poll-quiet';
      const { lastEventId } = await poll({ topic });
      expect(await poll({ topic, lastEventId, waitMs: 50 })).toEqual({ items: [], lastEventId });
    });

    test('tells a position that cannot be continued by a reset', async () => {
      const topic = 'public:poll-reset';
      await publish(topic, 2);
      const { items } = await poll({ topic, lastEventId: '1-1', history: 1 });
      expect(items[0]?.item).toMatchObject({ type: 'reset', reason: 'expired', state: null });
      const unknown = await poll({ topic, lastEventId: '9999999999999-9' });
      expect(unknown.items[0]?.item).toMatchObject({ type: 'reset', reason: 'unknown', events: [] });
    });

    test('tells the end of a topic', async () => {
      const topic = 'public:poll-closed';
      const { lastEventId } = await poll({ topic });
      const token = await publisherToken();
      await publish(topic, 1);
      await mutate(server(), 'topic.close', { topic }, { token });
      const answer = await poll({ topic, lastEventId, waitMs: 25_000 });
      expect(answer.items.map(({ item }) => item.type)).toEqual(['event', 'closed']);
    });

    test('and a subscription take over from each other at the same positions', async () => {
      const topic = 'public:poll-and-subscribe';
      await using client = await openRaw(server(), { token: await mintToken() });
      const subscription = client.subscribe({ topic });
      await subscription.next();
      await publish(topic, 2);
      await subscription.until(() => subscription.events.length === 2);
      subscription.stop();
      await subscription.ended();
      await publish(topic, 2, 3);
      const polled = await poll({ topic, lastEventId: subscription.lastEventId });
      expect(eventsOf(polled)).toEqual([3, 4]);
      await publish(topic, 1, 5);
      const resumed = client.subscribe({ topic }, { lastEventId: polled.lastEventId });
      expect((await resumed.next()).item).toEqual({ type: 'resumed', replayed: 1 });
      expect(
        numbersOf([(await resumed.next()).item].flatMap((item) => (item.type === 'event' ? [item.event] : []))),
      ).toEqual([5]);
    });

    test('is answered over a socket as over HTTP', async () => {
      const topic = 'public:poll-ws';
      await publish(topic, 1);
      await using client = await openRaw(server(), { token: await mintToken() });
      const { data } = await client.query<PollAnswer>('topic.poll', { topic, history: 1 });
      expect(data?.items[0]?.item).toMatchObject({ type: 'snapshot', events: [{ data: { n: 1 } }] });
      const waiting = client.query<PollAnswer>('topic.poll', { topic, lastEventId: data?.lastEventId, waitMs: 25_000 });
      // Whoever waits holds no other call up.
      expect((await client.query('topic.history', { topic })).error).toBeUndefined();
      await publish(topic, 1, 2);
      expect((await waiting).data?.items).toHaveLength(1);
    });
  });

  describe('topic.history', () => {
    const page = async (input: Readonly<Record<string, unknown>>): Promise<TopicPage> => {
      const answer = await query<TopicPage>(server(), 'topic.history', input, { token: await mintToken() });
      if (answer.data === undefined) throw new Error(answer.text);
      expect(Object.keys(answer.data).sort()).toEqual(['complete', 'events', 'position']);
      return answer.data;
    };

    test('gives events, the position of the log’s end, and whether that was all', async () => {
      const topic = 'public:page';
      const positions = await publish(topic, 3);
      expect(await page({ topic })).toEqual({
        events: positions.map((position, at) => ({
          position,
          at: Number(position.split('-')[0]),
          name: 'e',
          data: { n: at + 1 },
        })),
        position: positions[2] as string,
        complete: true,
      });
    });

    test('pages forwards by `after`, backwards by `before` and `reverse`, and sees each event once either way', async () => {
      const topic = 'public:pages';
      const positions = await publish(topic, 10);
      const forwards: number[] = [];
      for (let after: string | undefined, complete = false; !complete; ) {
        const { events, ...rest } = await page({ topic, after, limit: 3 });
        forwards.push(...numbersOf(events));
        after = events.at(-1)?.position as string;
        complete = rest.complete;
        expect(rest.position).toBe(positions[9] as string);
      }
      expect(forwards).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      const backwards: number[] = [];
      for (let before: string | undefined, complete = false; !complete; ) {
        const { events, ...rest } = await page({ topic, before, limit: 4, reverse: true });
        backwards.push(...numbersOf(events));
        before = events.at(-1)?.position as string;
        complete = rest.complete;
      }
      expect(backwards).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    });

    test('between two positions gives what lies between, without them', async () => {
      const topic = 'public:between';
      const positions = await publish(topic, 6);
      const between = { topic, after: positions[1], before: positions[4] };
      expect(numbersOf((await page(between)).events)).toEqual([3, 4]);
      expect(numbersOf((await page({ ...between, reverse: true })).events)).toEqual([4, 3]);
      expect((await page({ ...between, limit: 1 })).complete).toBe(false);
      expect((await page({ ...between, limit: 2 })).complete).toBe(true);
      expect(numbersOf((await page({ topic, after: positions[5] })).events)).toEqual([]);
      expect(numbersOf((await page({ topic, before: positions[0] })).events)).toEqual([]);
    });

    test('gives 100 where no limit is given, and 1,000 at most', async () => {
      const topic = 'public:thousand';
      await publish(topic, 150);
      const first = await page({ topic });
      expect([first.events.length, first.complete]).toEqual([100, false]);
      expect((await page({ topic, limit: 1_000 })).events).toHaveLength(150);
    });

    test('of a topic that everybody may read and nobody made is empty, of any other unknown', async () => {
      expect(await page({ topic: 'public:nobodys' })).toMatchObject({ events: [], complete: true });
      const answer = await query(
        server(),
        'topic.history',
        { topic: 'job:nobodys' },
        { token: await publisherToken() },
      );
      expectRefusal(answer, 404, 'TOPIC_UNKNOWN');
    });
  });
});
