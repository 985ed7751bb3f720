import { describe, expect, test } from 'bun:test';
import { mutate } from '../harness/http.ts';
import { openRaw, type RawClient } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { isReady, onEachServer } from './each-server.ts';

const topicMaxEvents = 20;
const maxReplayEvents = 10;
const position = expect.stringMatching(/^\d+-\d+$/);
const itemId = expect.stringMatching(/^\d+-\d+~[\w.:-]+$/);

onEachServer(
  (server) => {
    const open = async () => openRaw(server(), { token: await publisherToken() });
    /** Publishes events named e, whose data counts on, and gives their positions. */
    const publish = async (topic: string, count = 1, first = 1): Promise<string[]> => {
      const events = Array.from({ length: count }, (_, at) => ({ name: 'e', data: { n: first + at } }));
      const answer = await mutate<{ positions: string[] }>(
        server(),
        'topic.publishMany',
        { topic, events },
        { token: await publisherToken() },
      );
      if (answer.data === undefined) throw new Error(answer.text);
      return answer.data.positions;
    };
    const numbers = (items: readonly { item: unknown }[]) =>
      items.flatMap(({ item }) => {
        const { event } = item as { event?: { data: { n: number } } };
        return event ? [event.data.n] : [];
      });

    test("frames are tRPC's own, byte for byte what wire.md shows", async () => {
      await using client = await open();
      client.send(
        '{"id":7,"method":"subscription","params":{"path":"topic.subscribe","input":{"topic":"public:frames"}}}',
      );
      const started = await client.frame((frame) => JSON.stringify(frame).includes('started'));
      expect(started).toEqual({ id: 7, result: { type: 'started' } });
      await client.frame((frame) => JSON.stringify(frame).includes('snapshot'));
      const [at] = await publish('public:frames');
      const frame = await client.frame((candidate) => JSON.stringify(candidate).includes('"event"'));
      expect(frame).toEqual({
        id: 7,
        result: {
          type: 'data',
          id: at,
          data: {
            id: at,
            data: { type: 'event', event: { position: at, at: expect.any(Number), name: 'e', data: { n: 1 } } },
          },
        },
      } as never);
      client.send('{"id":7,"method":"subscription.stop"}');
      expect(await client.frame((candidate) => JSON.stringify(candidate).includes('stopped'))).toEqual({
        id: 7,
        result: { type: 'stopped' },
      });
    });

    test('a request id that is text comes back as text', async () => {
      await using client = await open();
      const subscription = client.subscribe({ topic: 'public:text-id' }, { id: 'a"b' });
      await subscription.next();
      await publish('public:text-id');
      expect((await subscription.next()).item.type).toBe('event');
      expect(client.frames.every((frame) => typeof frame === 'object' && frame.id === 'a"b')).toBe(true);
    });

    describe('snapshot', () => {
      test('comes first, with no state and no events where there are none', async () => {
        await using client = await open();
        const { id, item } = await client.subscribe({ topic: 'public:empty' }).next();
        expect(item).toEqual({ type: 'snapshot', state: null, events: [] });
        expect(id).toEqual(itemId);
      });

      test('brings the state, and as many of the last events as were asked for, oldest first', async () => {
        const topic = 'public:history';
        await publish(topic, 5);
        const token = await publisherToken();
        await mutate(
          server(),
          'topic.publish',
          { topic, event: { name: 'e', data: { n: 6 } }, state: { s: 1 } },
          { token },
        );
        await using client = await open();
        expect((await client.subscribe({ topic }).next()).item).toEqual({
          type: 'snapshot',
          state: { s: 1 },
          events: [],
        });
        const { item } = await client.subscribe({ topic, history: 3 }).next();
        expect(item).toEqual({
          type: 'snapshot',
          state: { s: 1 },
          events: [4, 5, 6].map((n) => ({ position, at: expect.any(Number), name: 'e', data: { n } })),
        } as never);
      });
    });

    describe('event', () => {
      test('has its position for an id, and the time of its position', async () => {
        const topic = 'public:ids';
        await using client = await open();
        const subscription = client.subscribe({ topic });
        await subscription.next();
        const positions = await publish(topic, 3);
        for (const wanted of positions) {
          const { id, item } = await subscription.next();
          if (item.type !== 'event') throw new Error(`Wanted an event: ${JSON.stringify(item)}`);
          expect([id, item.event.position]).toEqual([wanted, wanted]);
          expect(item.event.at).toBe(Number(wanted.split('-')[0]));
          expect(Object.keys(item.event).sort()).toEqual(['at', 'data', 'name', 'position']);
        }
      });
    });

    describe('resumed', () => {
      const kinds = [
        [
          'beside the input',
          (client: RawClient, topic: string, id: string) => client.subscribe({ topic }, { lastEventId: id }),
        ],
        [
          'in the input',
          (client: RawClient, topic: string, id: string) => client.subscribe({ topic, lastEventId: id }),
        ],
      ] as const;
      test.each(kinds)('tells how many were missed, and they follow (lastEventId %s)', async (where, subscribe) => {
        const topic = `public:resumed-${where.length}`;
        const [first] = await publish(topic, 4);
        await using client = await open();
        const subscription = subscribe(client, topic, first as string);
        const { id, item } = await subscription.next();
        expect(item).toEqual({ type: 'resumed', replayed: 3 });
        expect(id).toStartWith(`${first}~`);
        await subscription.until(() => subscription.items.length === 4);
        expect(numbers(subscription.items)).toEqual([2, 3, 4]);
      });

      test("any item's id may come back, and continues where that item stood", async () => {
        const topic = 'public:any-id';
        await using client = await open();
        const subscription = client.subscribe({ topic });
        const snapshot = await subscription.next();
        await publish(topic, 2);
        const fromSnapshot = client.subscribe({ topic }, { lastEventId: snapshot.id });
        const resumed = await fromSnapshot.next();
        expect(resumed.item).toEqual({ type: 'resumed', replayed: 2 });
        await fromSnapshot.until(() => fromSnapshot.items.length === 3);
        const fromResumed = client.subscribe({ topic }, { lastEventId: resumed.id });
        expect((await fromResumed.next()).item).toEqual({ type: 'resumed', replayed: 2 });
        const fromEnd = client.subscribe({ topic }, { lastEventId: fromSnapshot.lastEventId as string });
        expect((await fromEnd.next()).item).toEqual({ type: 'resumed', replayed: 0 });
      });

      test(`as many as ${maxReplayEvents} missed events are replayed`, async () => {
        const topic = 'public:at-the-limit';
        const [first] = await publish(topic, maxReplayEvents + 1);
        await using client = await open();
        const subscription = client.subscribe({ topic }, { lastEventId: first as string });
        expect((await subscription.next()).item).toEqual({ type: 'resumed', replayed: maxReplayEvents });
        await subscription.until(() => subscription.items.length === maxReplayEvents + 1);
      });
    });

    describe('reset', () => {
      const expectReset = async (topic: string, lastEventId: string, reason: string, history: readonly number[]) => {
        await using client = await open();
        const subscription = client.subscribe({ topic, history: 2 }, { lastEventId });
        const { id, item } = await subscription.next();
        expect(item).toEqual({
          type: 'reset',
          reason,
          state: null,
          events: history.map((n) => ({ position, at: expect.any(Number), name: 'e', data: { n } })),
        } as never);
        expect(id).toEqual(itemId);
        // From here it goes on.
        const [next] = await publish(topic, 1, 99);
        expect((await subscription.next()).id).toBe(next as string);
        const again = client.subscribe({ topic }, { lastEventId: id });
        expect((await again.next()).item).toEqual({ type: 'resumed', replayed: 1 });
      };

      test('limit: more was missed than is replayed', async () => {
        const topic = 'public:limit';
        const [first] = await publish(topic, maxReplayEvents + 2);
        await expectReset(topic, first as string, 'limit', [maxReplayEvents + 1, maxReplayEvents + 2]);
      });

      test('expired: the log no longer reaches back', async () => {
        const topic = 'public:expired';
        const [first] = await publish(topic, topicMaxEvents + 2);
        await expectReset(topic, first as string, 'expired', [topicMaxEvents + 1, topicMaxEvents + 2]);
      });

      test('unknown: the position was never in this log', async () => {
        const topic = 'public:unknown';
        const [first, second] = await publish(topic, 2);
        const [ms, seq] = (second as string).split('-');
        await expectReset(topic, `${ms}-${Number(seq) + 5}`, 'unknown', [1, 2]);
        const [, firstSeq] = (first as string).split('-');
        await using client = await open();
        const between = client.subscribe({ topic }, { lastEventId: `${Number(ms) + 1}-${firstSeq}` });
        expect((await between.next()).item).toMatchObject({ type: 'reset' });
      });

      test('unknown: the topic was deleted and made anew', async () => {
        const topic = 'public:again';
        const [, second] = await publish(topic, 2);
        await mutate(server(), 'topic.delete', { topic }, { token: await publisherToken() });
        await publish(topic, 2, 11);
        await using client = await open();
        const { item } = await client.subscribe({ topic, history: 2 }, { lastEventId: second as string }).next();
        expect(item.type).toBe('reset');
      });
    });

    describe('closed', () => {
      test("a terminal event is told, then closed with it, then tRPC's stopped", async () => {
        const topic = 'job:terminal';
        await using client = await open();
        const token = await publisherToken();
        await mutate(server(), 'topic.create', { topic, owner: 'worker' }, { token });
        const subscription = client.subscribe({ topic });
        await subscription.next();
        const event = { name: 'job_completed', data: { files: 3 } };
        const { data } = await mutate<{ position: string }>(server(), 'topic.publish', { topic, event }, { token });
        const told = await subscription.next();
        expect(told.item).toEqual({
          type: 'event',
          event: { position: data?.position as string, at: expect.any(Number) as never, ...event },
        });
        const closed = await subscription.next();
        expect(closed.item).toEqual({
          type: 'closed',
          event: { position: data?.position as string, at: expect.any(Number) as never, ...event },
        });
        expect(closed.id).toStartWith(`${data?.position}~`);
        expect(await subscription.ended()).toEqual({ type: 'stopped' });
      });

      test('topic.close without an event closes without one; who comes later is told the same', async () => {
        const topic = 'process:closed';
        await using client = await open();
        const token = await publisherToken();
        await mutate(server(), 'topic.create', { topic }, { token });
        const subscription = client.subscribe({ topic });
        await subscription.next();
        await mutate(server(), 'topic.close', { topic }, { token });
        expect((await subscription.next()).item).toEqual({ type: 'closed' });
        expect(await subscription.ended()).toEqual({ type: 'stopped' });

        const late = client.subscribe({ topic });
        expect((await late.next()).item).toEqual({ type: 'snapshot', state: null, events: [] });
        expect((await late.next()).item.type).toBe('closed');
        expect(await late.ended()).toEqual({ type: 'stopped' });
      });

      test('a deleted topic ends for those who listen', async () => {
        const topic = 'public:deleted';
        await publish(topic);
        await using client = await open();
        const subscription = client.subscribe({ topic });
        await subscription.next();
        await mutate(server(), 'topic.delete', { topic }, { token: await publisherToken() });
        expect((await subscription.next()).item).toEqual({ type: 'closed' });
        expect(await subscription.ended()).toEqual({ type: 'stopped' });
      });
    });

    test('presence is told only to those who ask, of joined and left members', async () => {
      const topic = 'public:presence';
      await using watcher = await openRaw(server(), { token: await publisherToken({ userId: 'ada' }) });
      const watched = watcher.subscribe({ topic, presence: true });
      await watched.next();
      const own = await watched.until((item) => item.type === 'presence');
      const ada = { userId: 'ada', connections: 1, since: expect.any(Number) };
      expect(own.item).toEqual({ type: 'presence', joined: [ada], left: [] } as never);
      expect(own.id).toEqual(itemId);

      await using guest = await openRaw(server(), { token: await publisherToken({ userId: 'bob' }) });
      const unasked = guest.subscribe({ topic });
      await unasked.next();
      const asked = guest.subscribe({ topic, presence: true });
      await asked.until((item) => item.type === 'presence');
      const joined = await watched.until((item) => item.type === 'presence');
      expect(joined.item).toEqual({
        type: 'presence',
        joined: [{ userId: 'bob', connections: 1, since: expect.any(Number) }],
        left: [],
      } as never);
      const list = await guest.query<{ members: { userId: string }[] }>('presence.list', { topic });
      expect(list.data?.members.map((member) => member.userId).sort()).toEqual(['ada', 'bob']);
      await guest.close();
      const left = await watched.until((item) => item.type === 'presence' && item.left.length > 0);
      expect(left.item).toMatchObject({ type: 'presence', joined: [], left: [{ userId: 'bob' }] });
      expect(unasked.items.map(({ item }) => item.type)).toEqual(['snapshot']);
    });

    test('no two items of a subscription share an id', async () => {
      const topic = 'public:unique';
      await using client = await open();
      const subscription = client.subscribe({ topic, presence: true });
      await subscription.next();
      await publish(topic, 15);
      await subscription.until((item) => item.type === 'event' && (item.event.data as { n: number }).n === 15);
      const ids = subscription.items.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
    });
  },
  {
    kinds: ['Bun, memory', 'Bun, Redis', 'Deno, memory', 'Deno, Redis'],
    env: { TOPIC_MAX_EVENTS: String(topicMaxEvents), MAX_REPLAY_EVENTS: String(maxReplayEvents) },
  },
);

describe('degraded and restored', () => {
  test('are told around the absence of Redis; a local event is marked, and its id comes back as lastEventId', async () => {
    await using redis = await startRedis({ persist: true });
    await using server = await startServer({ env: { REDIS_URL: redis.url } });
    await isReady(server);
    const token = await publisherToken();
    const topic = 'public:degraded';
    const publish = (n: number, durable: boolean) =>
      mutate(server, 'topic.publish', { topic, event: { name: 'e', data: { n } }, durable }, { token });
    await publish(1, true);

    await using client = await openRaw(server, { token });
    const subscription = client.subscribe({ topic });
    const snapshot = await subscription.next();
    await redis.kill();
    const degraded = await subscription.until((item) => item.type === 'degraded');
    expect(degraded.item).toEqual({ type: 'degraded' });
    expect(degraded.id).toEqual(itemId);

    const refused = await publish(2, true);
    expect([refused.status, refused.error?.code]).toEqual([503, 'REDIS_NOT_READY']);
    expect(JSON.parse((await publish(3, false)).text)).toEqual({
      result: { data: { position: null, durable: false, duplicate: false } },
    });
    const local = await subscription.next();
    expect(local.item).toEqual({
      type: 'event',
      event: { position: null, at: expect.any(Number) as never, name: 'e', data: { n: 3 }, durable: false },
    });
    expect(local.id).toEqual(itemId);

    await redis.start();
    const restored = await subscription.until((item) => item.type === 'restored');
    expect(restored.item).toEqual({ type: 'restored' });
    await publish(4, true);
    expect((await subscription.next()).item).toMatchObject({ type: 'event', event: { data: { n: 4 } } });

    for (const lastEventId of [snapshot.id, degraded.id, local.id, restored.id]) {
      const again = client.subscribe({ topic }, { lastEventId });
      expect((await again.next()).item).toEqual({ type: 'resumed', replayed: 1 });
    }
  });

  test('a Redis that comes back empty is a reset, and no "restored"', async () => {
    await using redis = await startRedis();
    await using server = await startServer({ env: { REDIS_URL: redis.url } });
    await isReady(server);
    const token = await publisherToken();
    const topic = 'public:emptied';
    const publish = (n: number) =>
      mutate(server, 'topic.publish', { topic, event: { name: 'e', data: { n } } }, { token });
    await publish(1);
    await using client = await openRaw(server, { token });
    const subscription = client.subscribe({ topic });
    await subscription.next();
    await redis.restart({ keepData: false });
    const reset = await subscription.until((item) => item.type === 'reset');
    expect(reset.item).toEqual({ type: 'reset', reason: 'unknown', state: null, events: [] });
    expect(subscription.items.map(({ item }) => item.type)).not.toContain('restored');
    await publish(2);
    expect((await subscription.until((item) => item.type === 'event')).item).toMatchObject({
      event: { data: { n: 2 } },
    });
  });
});
