import { afterEach, beforeEach, describe, expect, jest, test } from 'bun:test';
import type { AppendedMessage, LiveMessage, LogLimits } from '../topics/log.ts';
import { createMemoryLog, type MemoryLog } from '../topics/memory.ts';
import { createScriptedLog, type ScriptedLog } from './scripted-log.fixture.ts';
import { createStand, numbered, readTopic, type Stand, standLimits, turn } from './stand.fixture.ts';

const topic = 'public:a';
const logLimits: LogLimits = { topicMaxEvents: 60, topicTtlMs: 3_600_000, topicCloseGraceMs: 60_000 };

let at: number;
let memory: MemoryLog;
let log: ScriptedLog;
let stand: Stand;
const publish = async (...numbers: number[]) => {
  // Each publish has a moment of its own, as another log would have.
  at += 1;
  await memory.append(topic, numbered(numbers));
  await turn();
};
const appendedMessages = () => log.flying.map(({ message }) => message as AppendedMessage);

beforeEach(() => {
  jest.useFakeTimers();
  at = 1_000_000;
  memory = createMemoryLog({ ...logLimits, now: () => at });
  log = createScriptedLog(memory);
  stand = createStand(log, { now: () => at });
});
afterEach(() => {
  stand.hub.close();
  memory.close();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

describe('a channel delivers', () => {
  test('what is appended, in order, once, without asking the log', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    await publish(1, 2);
    await publish(3);
    expect(reader.told).toEqual(['snapshot', 1, 2, 3]);
    expect(log.calls('read')).toBe(0);
  });

  test('what a lost message would have brought, when the next one shows that it is missing', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1, 2);
    log.lose();
    await publish(3);
    log.passLive();
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 2, 3]);
    expect(await stand.count('usher_gaps_healed_total')).toBe(1);
  });

  test('for many readers that miss the same events with one read of the log', async () => {
    const readers = await Promise.all(Array.from({ length: 100 }, () => readTopic(stand.hub, topic)));
    await Promise.all(readers.map((reader) => reader.joined));
    log.holdLive();
    await publish(1);
    log.lose();
    await publish(2);
    log.passLive();
    await turn();
    for (const reader of readers) expect(reader.told).toEqual(['snapshot', 1, 2]);
    expect(log.calls('read')).toBe(1);
  });

  test('messages that come in any other order', async () => {
    for (const order of [
      [2, 1, 0],
      [1, 0, 0],
      [0, 1, 0],
      [1, 1, 0],
    ]) {
      const reader = await readTopic(stand.hub, topic);
      await reader.joined;
      log.holdLive();
      await publish(1, 2);
      await publish(3);
      await publish(4, 5);
      for (const next of order) {
        log.deliver(next);
        await turn();
      }
      log.passLive();
      await turn();
      expect(reader.told).toEqual(['snapshot', 1, 2, 3, 4, 5]);
      reader.leave();
    }
  });

  test('a message that comes twice once, at once or much later', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1, 2);
    const [first] = appendedMessages() as [AppendedMessage];
    log.deliver(0, true);
    log.deliver(0, true);
    log.passLive();
    await publish(90);
    log.say(topic, first);
    await turn();
    expect(log.calls('read')).toBe(0);
    for (let n = 3; n < 30; n += 1) await publish(n);
    log.say(topic, first);
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 2, 90, ...Array.from({ length: 27 }, (_, n) => n + 3)]);
  });

  test('the rest of a message whose beginning a read has brought', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1, 2, 3);
    const [whole] = appendedMessages() as [AppendedMessage];
    const half: AppendedMessage = { ...whole, entries: whole.entries.slice(0, 2) };
    log.lose();
    log.say(topic, half);
    log.say(topic, whole);
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 2, 3]);
    expect(log.calls('read')).toBe(0);
  });

  test('messages that come while a gap is read after what the gap held', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    for (let n = 1; n <= 3; n += 1) await publish(n);
    log.lose(2);
    const reading = log.hold('read', true);
    log.deliver();
    await reading.reached;
    for (let n = 4; n <= 6; n += 1) await publish(n);
    log.passLive();
    reading.release();
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 2, 3, 4, 5, 6]);
    expect(log.calls('read')).toBe(1);
  });

  test('everything when more comes than may wait while a gap is read, though nothing comes after it', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1);
    log.lose();
    const reading = log.hold('read', true);
    await publish(2);
    log.passLive();
    await reading.reached;
    for (let n = 3; n <= 20; n += 1) await publish(n);
    reading.release();
    await turn();
    expect(reader.told).toEqual(['snapshot', ...Array.from({ length: 20 }, (_, n) => n + 1)]);
  });

  test('what came between listening and the first look, with one read at most', async () => {
    await publish(1, 2, 3);
    const looking = log.hold('snapshot');
    const reading = readTopic(stand.hub, topic, { history: 3 });
    await looking.reached;
    // Five messages that the snapshot already holds.
    for (let n = 4; n <= 8; n += 1) await publish(n);
    looking.release();
    const reader = await reading;
    await reader.joined;
    await publish(9);
    expect(reader.told).toEqual(['snapshot', 9]);
    expect(reader.items[0]?.item).toMatchObject({ events: [{ data: 6 }, { data: 7 }, { data: 8 }] });
    expect(log.calls('read')).toBeLessThanOrEqual(1);
  });

  test('after a reset only what follows it, with one read for all that waited', async () => {
    await publish(1);
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    memory.clear();
    at += 1_000;
    const looking = log.hold('snapshot');
    await publish(2);
    await looking.reached;
    for (let n = 3; n <= 6; n += 1) await publish(n);
    const readsBefore = log.calls('read');
    looking.release();
    await turn();
    await publish(7);
    expect(reader.told).toEqual(['snapshot', 'reset', 7]);
    expect(log.calls('read') - readsBefore).toBeLessThanOrEqual(1);
  });
});

describe('a channel tells of', () => {
  test('a gap that the log can no longer fill', async () => {
    await publish(1);
    const reader = await readTopic(stand.hub, topic, { history: 2 });
    await reader.joined;
    log.holdLive();
    for (let n = 2; n <= 100; n += 1) await publish(n);
    log.lose();
    log.passLive();
    await publish(101);
    expect(reader.told).toEqual(['snapshot', 'reset']);
    expect(reader.items[1]?.item).toMatchObject({ reason: 'expired', events: [{ data: 100 }, { data: 101 }] });
    await publish(102);
    expect(reader.told).toEqual(['snapshot', 'reset', 102]);
  });

  test('more missed events than may be filled in', async () => {
    const small = createStand(log, { now: () => at, limits: { ...standLimits, maxReplayEvents: 5 } });
    const reader = await readTopic(small.hub, topic);
    await reader.joined;
    log.holdLive();
    for (let n = 1; n <= 20; n += 1) await publish(n);
    log.lose(19);
    log.passLive();
    await turn();
    expect(reader.told.at(-1)).toBe('reset');
    expect(reader.items.at(-1)?.item).toMatchObject({ reason: 'limit' });
    await publish(21);
    expect(reader.told.at(-1)).toBe(21);
    small.hub.close();
  });

  test.each([
    ['emptied', []],
    ['emptied and refilled to the same number', [11, 12, 13]],
    ['emptied and refilled beyond', [11, 12, 13, 14, 15]],
  ])('a log that was %s', async (_, refill) => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    await publish(1, 2, 3);
    log.holdLive();
    at += 1_000;
    memory.clear();
    if (refill.length > 0) await publish(...refill);
    log.lose();
    log.passLive();
    await publish(20);
    expect(reader.told).toEqual(['snapshot', 1, 2, 3, 'reset']);
    await publish(21);
    expect(reader.told.at(-1)).toBe(21);
  });

  test('a log that was restored from an older copy, or failed over to a lagging replica', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    await publish(1, 2);
    const restore = memory.copy();
    await publish(3, 4);
    restore();
    at += 1_000;
    await publish(5, 6);
    expect(reader.told).toEqual(['snapshot', 1, 2, 3, 4, 'reset']);
    await publish(7);
    expect(reader.told.at(-1)).toBe(7);
  });

  test('a reset to each group with the history it asked for, and to no group twice', async () => {
    const [none, two] = [stand.socket(), stand.socket()];
    const channel = await stand.hub.acquire(topic);
    channel.attach({ requestId: 1, presence: false, history: 0 }, none);
    channel.attach({ requestId: 'two', presence: false, history: 2 }, two);
    await publish(1);
    memory.clear();
    at += 1_000;
    await publish(2, 3, 4);
    const lastOf = (frames: readonly string[]) => JSON.parse(frames.at(-1) ?? '') as { id: unknown; result: never };
    expect([none.frames.length, two.frames.length]).toEqual([2, 2]);
    expect(lastOf(none.frames)).toMatchObject({ id: 1, result: { data: { data: { type: 'reset', events: [] } } } });
    expect(lastOf(two.frames)).toMatchObject({
      id: 'two',
      result: { data: { data: { type: 'reset', events: [{ data: 3 }, { data: 4 }] } } },
    });
    expect(await stand.count('usher_resets_total')).toBe(2);
    stand.hub.release(channel);
  });
});

describe('the state a channel remembers', () => {
  const stateOf = async (): Promise<unknown> => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    const [first] = reader.items;
    reader.leave();
    return first?.item.type === 'snapshot' ? first.item.state : 'no snapshot';
  };

  test('is the newest, also when a gap was filled that changed it', async () => {
    const holder = await readTopic(stand.hub, topic);
    await memory.append(topic, numbered([1], { state: '1' }));
    expect(await stateOf()).toBe(1);
    log.holdLive();
    await memory.append(topic, numbered([2], { state: '2' }));
    log.lose();
    log.passLive();
    await publish(3);
    expect(await stateOf()).toBe(2);
    holder.leave();
  });

  test('does not go back with a message that comes again', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await memory.append(topic, numbered([1], { state: '1' }));
    const [first] = appendedMessages() as [AppendedMessage];
    log.passLive();
    await memory.append(topic, numbered([2, 3], { state: '2' }));
    log.say(topic, first);
    await turn();
    expect(await stateOf()).toBe(2);
    const alone: AppendedMessage = { ...first, before: first.entries[0]?.position ?? '', entries: [], state: '1' };
    log.say(topic, alone);
    await turn();
    expect(await stateOf()).toBe(2);
    holder.leave();
  });

  test('comes from the application where the log holds none', async () => {
    let loads = 0;
    const load = async (): Promise<string> => {
      loads += 1;
      return '{"from":"the application"}';
    };
    const loading = createStand(log, { now: () => at, load: () => load });
    const reader = await readTopic(loading.hub, topic, { load });
    await reader.joined;
    expect(reader.items[0]?.item).toMatchObject({ state: { from: 'the application' } });
    memory.clear();
    at += 1_000;
    await publish(1);
    expect(reader.items.at(-1)?.item).toMatchObject({ type: 'reset', state: { from: 'the application' } });
    expect(loads).toBe(2);
    loading.hub.close();
  });
});

describe('a topic that ends', () => {
  test('is told with its last event, then nothing more comes', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    await memory.append(topic, numbered([1], { mode: 'publish-close' }));
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 'closed']);
    expect(reader.items.at(-1)?.item).toMatchObject({ event: { data: 1 } });
    expect(reader.hasEnded).toBe(true);
    expect(log.listening).toBe(0);
  });

  test('is told when it was closed without an event, and without claiming one', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    await publish(1);
    await memory.append(topic, numbered([], { mode: 'close' }));
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 'closed']);
    expect(reader.items.at(-1)?.item).toEqual({ type: 'closed' });
  });

  test('is told when the message that says so is lost, by the next look at the log', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1);
    await memory.append(topic, numbered([2], { mode: 'publish-close' }));
    log.lose();
    at += 41_000;
    jest.advanceTimersByTime(1_000);
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 2, 'closed']);
    expect(reader.hasEnded).toBe(true);
  });

  test('is told when it is deleted, in its place', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1);
    await memory.delete(topic);
    log.passLive();
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 'closed']);
  });

  test('leaves a new channel to those who come for the next topic of that name', async () => {
    const first = await readTopic(stand.hub, topic);
    await first.joined;
    await memory.append(topic, numbered([1], { mode: 'publish-close' }));
    at += 60_001;
    const second = await readTopic(stand.hub, topic);
    await second.joined;
    expect(second.channel).not.toBe(first.channel);
    await publish(2);
    expect(second.told).toEqual(['snapshot', 2]);
    expect(first.told).toEqual(['snapshot', 1, 'closed']);
    first.leave();
    await publish(3);
    expect(second.told).toEqual(['snapshot', 2, 3]);
  });
});

describe('who owns a topic', () => {
  const own = (numbers: readonly number[], owner: string) => {
    at += 1;
    return memory.append(topic, numbered(numbers, { owner }));
  };
  const watch = async () => {
    const reader = await readTopic(stand.hub, topic, { history: 5 });
    await reader.joined;
    const owners: (string | null)[] = [];
    reader.channel.onOwner((owner) => {
      owners.push(owner);
      reader.leave();
    });
    return { reader, owners };
  };

  test.each<[string, () => Promise<unknown>]>([
    [
      'was deleted and made by another, unheard',
      async () => {
        log.holdLive();
        await memory.delete(topic);
        await own([2], 'ben');
        log.lose();
        log.passLive();
        await own([3], 'ben');
      },
    ],
    [
      'was lost, and then made by another',
      async () => {
        memory.clear();
        at += 41_000;
        jest.advanceTimersByTime(1_000);
        await turn();
        await own([2], 'ben');
      },
    ],
    [
      'was lost, then made by another unheard, and then written to',
      async () => {
        memory.clear();
        at += 41_000;
        jest.advanceTimersByTime(1_000);
        await turn();
        log.holdLive();
        await memory.append(topic, numbered([], { mode: 'create', owner: 'ben' }));
        log.lose();
        log.passLive();
        await own([2], 'ben');
      },
    ],
  ])('is told before anything is delivered of a topic that %s', async (_, change) => {
    await own([1], 'ann');
    const { reader, owners } = await watch();
    const before = reader.told.length;
    await change();
    await turn();
    expect(owners).toEqual(['ben']);
    // The reset of an empty log shows nothing of anybody's.
    const shown = reader.items.slice(before).map(({ item }) => item);
    expect(JSON.stringify(shown)).not.toMatch(/"data":[23]/);
    expect(reader.channel.owner).toBe('ben');
  });

  test('is not told anew when the same owner makes it again', async () => {
    await own([1], 'ann');
    const { reader, owners } = await watch();
    memory.clear();
    at += 41_000;
    jest.advanceTimersByTime(1_000);
    await turn();
    await own([2], 'ann');
    await own([3], 'ann');
    await turn();
    expect(owners).toEqual([]);
    expect(reader.told).toEqual(['snapshot', 'reset', 2, 3]);
  });
});

test('presence reaches only those who asked, whatever the position', async () => {
  const asked = await readTopic(stand.hub, topic, { presence: true });
  const others = await readTopic(stand.hub, topic);
  await Promise.all([asked.joined, others.joined]);
  log.holdLive();
  await publish(1);
  const presence: LiveMessage = { kind: 'presence', change: '{"joined":[{"userId":"ann"}],"left":[]}' };
  log.say(topic, presence);
  log.passLive();
  await turn();
  expect(asked.told).toEqual(['snapshot', 'presence', 1]);
  expect(asked.items[1]?.item).toEqual({ type: 'presence', joined: [{ userId: 'ann' }], left: [] } as never);
  expect(others.told).toEqual(['snapshot', 1]);
});
