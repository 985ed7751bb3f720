import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { type TopicItem, UsherError } from '@usher/contracts';
import { createScriptedLog, type ScriptedLog } from '../hub/scripted-log.fixture.ts';
import { numbered, turn } from '../hub/stand.fixture.ts';
import { createMemoryLog, type MemoryLog } from './memory.ts';
import { createTopicsStand, itemsOf, nativeSocket, principal, subscribeTo, type TopicsStand } from './stand.fixture.ts';

const ann = principal('ann');
const worker = principal('worker', '*');
let memory: MemoryLog;
let log: ScriptedLog;
let stand: TopicsStand;
beforeEach(() => {
  memory = createMemoryLog({ topicMaxEvents: 1_000, topicTtlMs: 3_600_000, topicCloseGraceMs: 60_000 });
  log = createScriptedLog(memory);
  stand = createTopicsStand(log);
});
afterEach(() => {
  stand.hub.close();
  memory.close();
});

const types = (items: readonly TopicItem[]) =>
  items.map((item) => (item.type === 'event' ? (item.event.data as number) : item.type));

/** Subscribes natively, as a socket's call would, and gives how the call ends. */
const serve = (socket = nativeSocket(stand), input = subscribeTo('public:a'), who = ann) => {
  const leaving = new AbortController();
  const items = stand.topics.subscribe(who, input, { signal: leaving.signal, native: socket.request });
  const over = items.next().then(
    ({ done }) => (done ? 'over' : 'yielded'),
    (error: unknown) => (error instanceof UsherError ? error.reason : error),
  );
  return { socket, over, leave: () => leaving.abort() };
};

describe('a native subscription', () => {
  test('is served by frames until it is left, and gives back what it took', async () => {
    const { socket, over, leave } = serve();
    await turn();
    await memory.append('public:a', numbered([1, 2]));
    expect(types(itemsOf(socket))).toEqual(['snapshot', 1, 2]);
    expect(JSON.parse(socket.frames[1] ?? '')).toMatchObject({
      id: 1,
      result: { type: 'data', id: expect.any(String), data: { id: expect.any(String), data: { type: 'event' } } },
    });
    expect([socket.entered, stand.hub.find('public:a')?.users]).toEqual([1, 1]);
    leave();
    expect(await over).toBe('over');
    await memory.append('public:a', numbered([3]));
    expect(types(itemsOf(socket))).toEqual(['snapshot', 1, 2]);
    expect([socket.entered, socket.groups.size, stand.hub.find('public:a')?.users]).toEqual([0, 0, 0]);
  });

  test('that is left before, while or after it joins gives back what it took', async () => {
    for (let turns = 0; turns < 40; turns += 1) {
      const { socket, over, leave } = serve(nativeSocket(stand, turns));
      for (let n = 0; n < turns; n += 1) await Promise.resolve();
      leave();
      expect(await over).toBe('over');
      expect([socket.entered, socket.groups.size]).toEqual([0, 0]);
    }
    expect(stand.hub.find('public:a')?.users).toBe(0);
  });

  test('that is left while presence is entered ends, and leaves the room', async () => {
    const entering = Promise.withResolvers<void>();
    let inside = 0;
    const exit = (): void => {
      inside -= 1;
    };
    stand.hub.close();
    stand = createTopicsStand(log, {
      presence: {
        async enter() {
          await entering.promise;
          inside += 1;
          return { members: '[{"userId":"ben","connections":1,"since":1}]', exit };
        },
      },
    });
    const { socket, over, leave } = serve(nativeSocket(stand), subscribeTo('public:a', { presence: true }));
    await turn();
    leave();
    entering.resolve();
    expect(await over).toBe('over');
    expect([inside, socket.entered, socket.groups.size]).toEqual([0, 0, 0]);
    expect(types(itemsOf(socket))).toEqual(['snapshot']);
  });

  test('that is left while its socket is behind with who is there ends when the socket goes', async () => {
    let inside = 0;
    const exit = (): void => {
      inside -= 1;
    };
    stand.hub.close();
    const blocked = Promise.withResolvers<void>();
    stand = createTopicsStand(log, {
      presence: {
        async enter() {
          inside += 1;
          socket.block();
          blocked.resolve();
          return { members: '[{"userId":"ben","connections":1,"since":1}]', exit };
        },
      },
    });
    const socket = nativeSocket(stand);
    const { over, leave } = serve(socket, subscribeTo('public:a', { presence: true }));
    await blocked.promise;
    await turn();
    leave();
    socket.drain();
    expect(await over).toBe('over');
    expect(inside).toBe(0);
  });

  test('ends with the topic', async () => {
    const { socket, over } = serve();
    await turn();
    await memory.append('public:a', numbered([1], { mode: 'publish-close' }));
    expect(await over).toBe('over');
    expect(types(itemsOf(socket))).toEqual(['snapshot', 1, 'closed']);
    expect([socket.entered, socket.groups.size]).toEqual([0, 0]);
  });

  test('many on one socket, left one by one while events arrive, each see their part', async () => {
    const all = Array.from({ length: 20 }, (_, n) => serve(nativeSocket(stand, n)));
    await turn();
    for (const [n, { leave, over }] of all.entries()) {
      await memory.append('public:a', numbered([n]));
      leave();
      await over;
    }
    for (const [n, { socket }] of all.entries()) {
      expect(types(itemsOf(socket))).toEqual(['snapshot', ...Array.from({ length: n + 1 }, (_, seen) => seen)]);
    }
  });

  test('replays of two topics on a socket that is behind go frame by frame, both to their end', async () => {
    for (const topic of ['public:a', 'public:b']) await memory.append(topic, numbered([1, 2, 3, 4, 5, 6]));
    const first = async (topic: string) => {
      const range = { after: undefined, before: undefined, limit: 1, reverse: false, maxBytes: 1_000 };
      return (await memory.range(topic, range)).entries[0]?.position as string;
    };
    const socket = nativeSocket(stand, 7);
    socket.block();
    for (const topic of ['public:a', 'public:b'])
      serve(socket, subscribeTo(topic, { lastEventId: await first(topic) }));
    await turn();
    for (let n = 1; n <= 12; n += 1) {
      expect(socket.frames).toHaveLength(n);
      socket.drain();
      socket.block();
      await turn();
    }
    expect(types(itemsOf(socket)).filter((type) => type !== 'resumed')).toHaveLength(10);
    expect(socket.groups.size).toBe(2);
  });
});

describe('an iterated subscription', () => {
  const iterate = (input = subscribeTo('public:a'), who = ann, from = stand) => {
    const leaving = new AbortController();
    const items = from.topics.subscribe(who, input, { signal: leaving.signal, native: undefined });
    const next = async (): Promise<TopicItem | 'over'> => {
      const { value, done } = await items.next();
      return done ? 'over' : (value as unknown as [string, TopicItem])[1];
    };
    return { items, next, leave: () => leaving.abort() };
  };

  test('gives the same items, tracked', async () => {
    const { items, next, leave } = iterate();
    const first = await items.next();
    expect((first.value as unknown as [string, TopicItem])[0]).toMatch(/^\d+-0~/);
    const event = next();
    await memory.append('public:a', numbered([1]));
    expect(await event).toMatchObject({ type: 'event', event: { data: 1 } });
    const end = next();
    leave();
    expect(await end).toBe('over');
    expect(stand.hub.find('public:a')?.users).toBe(0);
  });

  test('that is broken off gives back what it took', async () => {
    const { items } = iterate();
    await items.next();
    await items.return();
    expect(stand.hub.find('public:a')?.users).toBe(0);
  });

  test('paces a replay by who iterates, and loses nothing', async () => {
    stand.hub.close();
    stand = createTopicsStand(log, { subscribe: { maxQueuedItems: 10 } });
    await memory.append('public:a', numbered(Array.from({ length: 200 }, (_, n) => n)));
    const range = { after: undefined, before: undefined, limit: 1, reverse: false, maxBytes: 1_000 };
    const lastEventId = (await memory.range('public:a', range)).entries[0]?.position;
    const { next, leave } = iterate(subscribeTo('public:a', { lastEventId }));
    expect(await next()).toEqual({ type: 'resumed', replayed: 199 });
    await turn();
    expect(log.calls('read')).toBeLessThan(8);
    for (let n = 1; n < 200; n += 1) expect(await next()).toMatchObject({ event: { data: n } });
    const live = next();
    await turn();
    await memory.append('public:a', numbered([200]));
    expect(await live).toMatchObject({ event: { data: 200 } });
    leave();
  });

  test.each([
    ['items', { maxQueuedItems: 10 }, 'x'],
    ['bytes', { maxQueuedBytes: 2_000 }, 'x'.repeat(100)],
  ] as const)(
    'whose reader is too many %s behind on live events is cut, after what it had',
    async (_, limits, text) => {
      stand.hub.close();
      stand = createTopicsStand(log, { subscribe: limits });
      const { items, next } = iterate();
      await items.next();
      // Asked for once more, so that it has joined.
      const first = next();
      await turn();
      const entries = Array.from({ length: 30 }, () => ({
        tail: `"name":"e","data":"${text}"`,
        idempotencyKey: undefined,
      }));
      await memory.append('public:a', { ...numbered([]), entries });
      expect(await first).toMatchObject({ type: 'event' });
      let given = 1;
      const reason = await (async () => {
        for (; ; given += 1) await next();
      })().catch((error: unknown) => (error as UsherError).reason);
      expect(reason).toBe('SLOW_CONSUMER');
      expect(given).toBeWithin(5, 25);
      expect(stand.hub.find('public:a')?.users).toBe(0);
      expect((await stand.metrics.slowConsumers.get()).values[0]?.value).toBe(1);
    },
  );

  test('ends with the topic, after everything that was said', async () => {
    const { next } = iterate();
    await next();
    const event = next();
    await turn();
    await memory.append('public:a', numbered([1], { mode: 'publish-close' }));
    expect([await event, await next(), await next()]).toMatchObject([{ type: 'event' }, { type: 'closed' }, 'over']);
  });
});

describe('a topic of somebody', () => {
  const own = (owner: string, ...numbers: number[]) => memory.append('job:1', numbered(numbers, { owner }));
  const later = async (): Promise<void> => {
    const before = Date.now();
    while (Date.now() === before) await new Promise((resolve) => setTimeout(resolve, 1));
  };

  test('is refused to others, by one answer, whether it is there or not', async () => {
    await own('ann', 1);
    const ben = principal('ben');
    for (const topic of ['job:1', 'job:2', 'user:ann']) {
      expect(await serve(nativeSocket(stand), subscribeTo(topic), ben).over).toBe('TOPIC_UNKNOWN');
    }
    const mine = serve(nativeSocket(stand), subscribeTo('job:1'));
    const granted = serve(nativeSocket(stand), subscribeTo('job:1'), worker);
    await turn();
    expect([types(itemsOf(mine.socket)), types(itemsOf(granted.socket))]).toEqual([['snapshot'], ['snapshot']]);
  });

  test('is lost to its owner, and not to who was granted it, when it becomes another’s', async () => {
    await own('ann', 1);
    const mine = serve(nativeSocket(stand), subscribeTo('job:1'));
    const granted = serve(nativeSocket(stand), subscribeTo('job:1'), worker);
    const iterated = stand.topics.subscribe(ann, subscribeTo('job:1'), {
      signal: new AbortController().signal,
      native: undefined,
    });
    await iterated.next();
    const next = iterated.next().catch((error: unknown) => (error as UsherError).reason);
    const poll = stand.topics
      .poll(ann, { topic: 'job:1', lastEventId: undefined, waitMs: 0, limit: 10, history: 0 }, undefined)
      .then(({ lastEventId }) =>
        stand.topics.poll(ann, { topic: 'job:1', lastEventId, waitMs: 20_000, limit: 10, history: 0 }, undefined),
      )
      .catch((error: unknown) => (error as UsherError).reason);
    await turn();
    // Deleted and made again, unheard.
    log.holdLive();
    await memory.delete('job:1');
    await later();
    await own('ben', 2);
    log.lose(2);
    log.passLive();
    await own('ben', 3);
    expect(await Promise.all([mine.over, next, poll])).toEqual(['TOPIC_UNKNOWN', 'TOPIC_UNKNOWN', 'TOPIC_UNKNOWN']);
    expect(types(itemsOf(mine.socket))).toEqual(['snapshot']);
    expect(types(itemsOf(granted.socket))).toEqual(['snapshot', 'reset']);
    await own('ben', 4);
    expect(types(itemsOf(granted.socket)).at(-1)).toBe(4);
    expect(mine.socket.groups.size).toBe(0);
  });

  test('is told apart by state and history though this instance remembers its former owner', async () => {
    await own('ann', 1);
    const { leave } = serve(nativeSocket(stand), subscribeTo('job:1'));
    await turn();
    log.holdLive();
    await memory.delete('job:1');
    await later();
    await own('ben', 2);
    expect(stand.hub.find('job:1')?.owner).toBe('ann');
    const refusal = (promise: Promise<unknown>) => promise.catch((error: unknown) => (error as UsherError).reason);
    const history = { topic: 'job:1', limit: 10, reverse: false, after: undefined, before: undefined };
    expect(await refusal(stand.topics.state(ann, { topic: 'job:1' }))).toBe('TOPIC_UNKNOWN');
    expect(await refusal(stand.topics.history(ann, history))).toBe('TOPIC_UNKNOWN');
    expect(await refusal(stand.topics.state(principal('ben'), { topic: 'job:1' }))).toMatchObject({ state: null });
    leave();
  });
});
