import { afterEach, beforeEach, describe, expect, jest, test } from 'bun:test';
import { UsherError } from '@usher/contracts';
import { RedisAwayError } from '../redis/connection.ts';
import type { LogLimits } from '../topics/log.ts';
import { createMemoryLog, type MemoryLog } from '../topics/memory.ts';
import type { HubOptions } from './hub.ts';
import { createScriptedLog, type ScriptedLog } from './scripted-log.fixture.ts';
import { createStand, numbered, readTopic, type Stand, turn } from './stand.fixture.ts';

const logLimits: LogLimits = { topicMaxEvents: 60, topicTtlMs: 3_600_000, topicCloseGraceMs: 60_000 };
const topic = 'public:a';

let at: number;
let memory: MemoryLog;
let log: ScriptedLog;
let stand: Stand;
const publish = async (...numbers: number[]) => {
  at += 1;
  await memory.append(topic, numbered(numbers));
  await turn();
};
const pass = async (ms: number): Promise<void> => {
  for (let left = ms; left > 0; left -= 250) {
    at += Math.min(left, 250);
    jest.advanceTimersByTime(Math.min(left, 250));
    await turn();
  }
};
const open = (options: Partial<HubOptions> = {}): void => {
  stand = createStand(log, { now: () => at, random: () => 0.5, ...options });
};
/** Redis goes: nothing is answered, nothing arrives. */
const goAway = (): void => {
  log.setAway(true);
  log.holdLive();
  stand.setAvailable(false);
};
const comeBack = (): void => {
  log.setAway(false);
  log.lose();
  log.passLive();
  stand.setAvailable(true);
};
const codeOf = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => null,
    (error: unknown) => (error instanceof UsherError ? error.reason : error),
  );

beforeEach(() => {
  jest.useFakeTimers();
  at = 1_000_000;
  memory = createMemoryLog({ ...logLimits, now: () => at, sweepIntervalMs: 3_600_000 });
  log = createScriptedLog(memory);
  open();
});
afterEach(() => {
  stand.hub.close();
  memory.close();
  expect(jest.getTimerCount()).toBe(0);
  expect(log.listening).toBe(0);
  jest.useRealTimers();
});

describe('while Redis is away', () => {
  test('a moment of it is told to nobody', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    stand.setAvailable(false);
    await pass(200);
    stand.setAvailable(true);
    await pass(1_000);
    expect(reader.told).toEqual(['snapshot']);
  });

  test('subscribers are told, and told of the end of it when nothing was missed', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    goAway();
    await pass(1_000);
    expect(reader.told).toEqual(['snapshot', 'degraded']);
    comeBack();
    await turn();
    expect(reader.told).toEqual(['snapshot', 'degraded', 'restored']);
  });

  test('what was missed comes before the end of it is told', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    goAway();
    await pass(1_000);
    await publish(1, 2, 3, 4, 5, 6);
    comeBack();
    await turn();
    expect(reader.told).toEqual(['snapshot', 'degraded', 1, 2, 3, 4, 5, 6, 'restored']);
  });

  test('what cannot be continued is reset instead, and restored is not told as well', async () => {
    const reader = await readTopic(stand.hub, topic);
    await publish(1);
    await reader.joined;
    goAway();
    await pass(1_000);
    memory.clear();
    comeBack();
    await turn();
    await pass(2_000);
    expect(reader.told).toEqual(['snapshot', 1, 'degraded', 'reset']);
    await publish(2);
    expect(reader.told.at(-1)).toBe(2);
  });

  test('a delivery line that was cut for a moment makes every topic prove its position', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    stand.setAvailable(false);
    log.holdLive();
    await publish(1);
    log.lose();
    log.passLive();
    stand.setAvailable(true);
    await turn();
    expect(reader.told).toEqual(['snapshot', 1]);
  });

  test('a topic that is still looking for the first time when Redis comes back is proven after it', async () => {
    await publish(1);
    const looking = log.hold('snapshot', true);
    const reading = readTopic(stand.hub, topic, { history: 9 });
    await looking.reached;
    // What it saw is old when it comes, and what was written since was lost with the line.
    log.holdLive();
    await publish(2, 3);
    log.lose();
    log.passLive();
    stand.setAvailable(false);
    stand.setAvailable(true);
    await turn();
    expect(log.calls('read')).toBe(0);
    looking.release();
    const reader = await reading;
    await reader.joined;
    await turn();
    await publish(4);
    const [first] = reader.items;
    const history = first?.item.type === 'snapshot' ? first.item.events.map(({ data }) => data) : [];
    expect([...history, ...reader.told.slice(1)]).toEqual([1, 2, 3, 4]);
  });

  test('a read that was under way when it came back does not stand for what came after', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1);
    log.lose();
    await publish(2);
    // The gap is read; the answer is old when it comes.
    const reading = log.hold('read', true);
    log.deliver();
    await reading.reached;
    stand.setAvailable(false);
    await pass(500);
    await publish(3);
    log.lose();
    log.passLive();
    stand.setAvailable(true);
    await turn();
    reading.release();
    await turn();
    expect(reader.told).toEqual(['snapshot', 'degraded', 1, 2, 3, 'restored']);
  });

  test('a topic that could not be proven is tried again until it can', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    goAway();
    await pass(1_000);
    await publish(1);
    log.lose();
    log.passLive();
    stand.setAvailable(true);
    await pass(3_500);
    expect(reader.told).toEqual(['snapshot', 'degraded']);
    log.setAway(false);
    await pass(1_500);
    expect(reader.told).toEqual(['snapshot', 'degraded', 1, 'restored']);
  });

  test('an answer that is lost with its connection leaves the gap to be read again', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1);
    log.lose();
    await publish(2);
    const reading = log.hold('read');
    log.passLive();
    await reading.reached;
    await publish(3);
    reading.fail();
    await turn();
    expect(reader.told).toEqual(['snapshot']);
    await pass(1_500);
    expect(reader.told).toEqual(['snapshot', 1, 2, 3]);
  });

  test('one topic that cannot be read is no reason to leave the others unproven', async () => {
    const [first, second] = [await readTopic(stand.hub, topic), await readTopic(stand.hub, 'public:b')];
    await Promise.all([first.joined, second.joined]);
    const reading = log.hold('read');
    stand.setAvailable(false);
    await pass(500);
    stand.setAvailable(true);
    await turn();
    reading.fail(new Error('WRONGTYPE'));
    await turn();
    expect([first.told.at(-1), second.told.at(-1)].sort()).toEqual(['degraded', 'restored']);
    expect(stand.lines.filter((line) => line.includes('could not be read'))).toHaveLength(1);
    await pass(1_500);
    expect([first.told.at(-1), second.told.at(-1)]).toEqual(['restored', 'restored']);
  });

  test('unlogged events reach who is here, marked, and do not disturb what follows', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    await publish(1);
    goAway();
    await pass(1_000);
    stand.hub.deliverLocal(topic, '"name":"e","data":90');
    stand.hub.deliverLocal(topic, '"name":"e","data":91');
    stand.hub.deliverLocal('public:nobody', '"name":"e","data":92');
    await publish(2);
    comeBack();
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 'degraded', 90, 91, 2, 'restored']);
    const [, first, , local, other] = reader.items;
    expect(local?.item).toMatchObject({ event: { position: null, durable: false, at: expect.any(Number), name: 'e' } });
    expect(new Set([local?.id, other?.id]).size).toBe(2);
    for (const id of [local?.id, other?.id]) expect(id).toStartWith(`${first?.id}~`);
  });

  test('new snapshots come from what this instance knows', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    await memory.append(topic, numbered([1, 2], { state: '{"n":2}' }));
    goAway();
    await pass(1_000);
    const reader = await readTopic(stand.hub, topic, { history: 5 });
    await reader.joined;
    expect(reader.told).toEqual(['snapshot', 'degraded']);
    expect(reader.items[0]?.item).toMatchObject({ state: { n: 2 }, events: [{ data: 1 }, { data: 2 }] });
    comeBack();
    await turn();
    await publish(3);
    expect(reader.told).toEqual(['snapshot', 'degraded', 'restored', 3]);
  });

  test('a snapshot that the log no longer gives comes from memory before anybody has noticed', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    await publish(1);
    log.setAway(true);
    const reader = await readTopic(stand.hub, topic, { history: 50 });
    await reader.joined;
    expect(reader.items[0]?.item).toMatchObject({ type: 'snapshot', events: [{ data: 1 }] });
    expect(reader.isLive).toBe(true);
  });

  test('readers come back to positions this instance remembers, and are refused others', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    await publish(1, 2, 3);
    const [, one] = holder.items;
    goAway();
    await pass(1_000);
    const back = await readTopic(stand.hub, topic, { position: one?.id as string });
    await back.joined;
    expect(back.told).toEqual(['resumed', 'degraded', 2, 3]);
    const stranger = await readTopic(stand.hub, topic, { position: '5-5' });
    await expect(stranger.joined).rejects.toBeInstanceOf(RedisAwayError);
  });

  test('a topic that begins in the middle of it is told, and of the end of it', async () => {
    stand.setAvailable(false);
    await pass(1_000);
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    stand.setAvailable(true);
    await turn();
    expect(reader.told).toEqual(['snapshot', 'degraded', 'restored']);
  });

  test('a topic nobody here has is refused, and nothing of it stays', async () => {
    goAway();
    expect(await codeOf(stand.hub.acquire('public:new'))).toBe('REDIS_NOT_READY');
    expect(await stand.count('usher_topics')).toBe(0);
    comeBack();
    const reader = await readTopic(stand.hub, 'public:new');
    await reader.joined;
    expect(reader.told).toEqual(['snapshot']);
  });

  test('a topic whose first look fails is refused to all who wait for it', async () => {
    const looking = log.hold('snapshot');
    const waiting = [stand.hub.acquire(topic), stand.hub.acquire(topic)].map(codeOf);
    await looking.reached;
    looking.fail();
    expect(await Promise.all(waiting)).toEqual(['REDIS_NOT_READY', 'REDIS_NOT_READY']);
    expect(log.listening).toBe(0);
    await readTopic(stand.hub, topic);
  });

  test('a topic nobody listens to is kept, since its memory is all there is', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    await publish(1);
    goAway();
    reader.leave();
    await pass(60_000);
    expect(await stand.count('usher_topics')).toBe(1);
    const back = await readTopic(stand.hub, topic, { position: reader.lastId });
    await back.joined;
    expect(back.told).toEqual(['resumed', 'degraded']);
    back.leave();
    comeBack();
    await pass(10_000);
    expect(await stand.count('usher_topics')).toBe(0);
  });
});

describe('an idle topic', () => {
  test('finds what it never heard of, within the time between two looks, and listens anew', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1, 2);
    log.lose();
    log.passLive();
    await pass(42_000);
    expect(reader.told).toEqual(['snapshot', 1, 2]);
    expect(log.calls('listenAgain')).toBe(1);
    await pass(100_000);
    expect(log.calls('listenAgain')).toBe(1);
  });

  test('finds what came while it listened anew', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1);
    log.lose();
    const again = log.hold('listenAgain');
    await pass(42_000);
    await again.reached;
    await publish(2);
    log.lose();
    log.passLive();
    again.release();
    await turn();
    expect(reader.told).toEqual(['snapshot', 1, 2]);
  });

  test('asks again when listening anew fails', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    log.holdLive();
    await publish(1);
    log.lose();
    const again = log.hold('listenAgain');
    await pass(42_000);
    await again.reached;
    await publish(2);
    log.lose();
    log.passLive();
    again.fail();
    await pass(2_000);
    expect(reader.told).toEqual(['snapshot', 1, 2]);
  });

  test('is told that its log was emptied though nothing is written to it', async () => {
    const reader = await readTopic(stand.hub, topic);
    await publish(1);
    await reader.joined;
    memory.clear();
    await pass(42_000);
    expect(reader.told).toEqual(['snapshot', 1, 'reset']);
  });

  test('asks the log once in 40 s, however many listen', async () => {
    await Promise.all(Array.from({ length: 50 }, () => readTopic(stand.hub, topic)));
    await pass(400_000);
    expect(log.calls('read')).toBeWithin(9, 12);
  });

  test('that is not idle asks nothing', async () => {
    await readTopic(stand.hub, topic);
    for (let n = 0; n < 20; n += 1) {
      await publish(n);
      await pass(10_000);
    }
    expect(log.calls('read')).toBe(0);
  });

  test('is one of many whose looks are spread over the time', async () => {
    stand.hub.close();
    let seed = 0;
    open({ random: () => (seed = (seed + 0.137) % 1) });
    for (let n = 0; n < 400; n += 1) await stand.hub.acquire(`public:${n}`);
    const perSecond: number[] = [];
    const measure = async () => {
      for (let second = 0; second < 45; second += 1) {
        const before = log.calls('read');
        await pass(1_000);
        perSecond.push(log.calls('read') - before);
      }
    };
    await measure();
    expect(Math.max(...perSecond)).toBeLessThan(40);
    // Proven all at once when Redis returns, they are not asked all at once again.
    stand.setAvailable(false);
    stand.setAvailable(true);
    await turn();
    perSecond.length = 0;
    await measure();
    expect(Math.max(...perSecond.slice(1))).toBeLessThan(40);
  });
});

describe('a topic', () => {
  test('is let go of a while after the last has left, and not when somebody comes in between', async () => {
    const first = await readTopic(stand.hub, topic);
    await first.joined;
    first.leave();
    await pass(4_000);
    const second = await readTopic(stand.hub, topic);
    expect(second.channel).toBe(first.channel);
    await pass(6_000);
    expect(log.listening).toBe(1);
    second.leave();
    await pass(6_000);
    expect(log.listening).toBe(0);
    expect(await stand.count('usher_topics')).toBe(0);
  });

  test('past the number this instance may listen to is refused', async () => {
    stand.hub.close();
    open({ maxTopics: 2 });
    await stand.hub.acquire('public:1');
    const second = await stand.hub.acquire('public:2');
    expect(await codeOf(stand.hub.acquire('public:3'))).toBe('CONNECTION_LIMIT');
    await stand.hub.acquire('public:2');
    stand.hub.release(second);
    stand.hub.release(second);
    await pass(6_000);
    await stand.hub.acquire('public:3');
  });

  test('is joined and left by many, in any order, while events arrive', async () => {
    const readers = await Promise.all(Array.from({ length: 30 }, () => readTopic(stand.hub, topic)));
    await Promise.all(readers.map((reader) => reader.joined));
    for (let n = 1; n <= 30; n += 1) {
      await publish(n);
      readers[(n * 7) % 30]?.leave();
    }
    for (let n = 1; n <= 30; n += 1) {
      const left = Array.from({ length: n }, (_, seen) => seen + 1);
      expect(readers[(n * 7) % 30]?.told).toEqual(['snapshot', ...left]);
    }
    await pass(6_000);
    expect(log.listening).toBe(0);
  });

  test('serves one socket twice under two requests, and leaves it one', async () => {
    const socket = stand.socket();
    const channel = await stand.hub.acquire(topic);
    const leaveFirst = channel.attach({ requestId: 1, presence: false, history: 0 }, socket);
    channel.attach({ requestId: 2, presence: false, history: 0 }, socket);
    await publish(1);
    leaveFirst();
    leaveFirst();
    await publish(2);
    expect(socket.frames.map((frame) => (JSON.parse(frame) as { id: number }).id)).toEqual([1, 2, 2]);
    expect(socket.groups.size).toBe(1);
    stand.hub.release(channel);
  });

  test('serialises an event once for all who share a request id', async () => {
    const published: string[] = [];
    stand.hub.close();
    open({ publish: (group) => void published.push(group) });
    const channel = await stand.hub.acquire(topic);
    for (let n = 0; n < 10; n += 1) {
      channel.attach({ requestId: n % 2, presence: false, history: 0 }, stand.socket());
    }
    await publish(1);
    expect(published).toHaveLength(2);
    expect(await stand.count('usher_events_delivered_total')).toBe(10);
    stand.hub.release(channel);
  });
});

describe('close()', () => {
  test('lets everybody go who waits, and takes nobody any more', async () => {
    const reader = await readTopic(stand.hub, topic);
    await reader.joined;
    const looking = log.hold('snapshot');
    const late = stand.hub.acquire('public:late').catch(() => 'refused');
    await looking.reached;
    stand.hub.close();
    expect(reader.hasEnded).toBe(true);
    expect(reader.told).toEqual(['snapshot']);
    looking.release();
    await late;
    expect(await codeOf(stand.hub.acquire('public:after'))).toBe('DRAINING');
    await publish(1);
    expect(reader.told).toEqual(['snapshot']);
  });

  test('leaves nothing behind in the middle of a gap, of an absence, or of a look at all topics', async () => {
    for (const middle of ['gap', 'absence', 'look'] as const) {
      const reader = await readTopic(stand.hub, topic);
      await reader.joined;
      const reading = log.hold('read');
      if (middle === 'gap') {
        log.holdLive();
        await publish(1);
        log.lose();
        log.passLive();
        await publish(2);
      } else if (middle === 'absence') {
        stand.setAvailable(false);
      } else {
        stand.setAvailable(false);
        stand.setAvailable(true);
      }
      await turn();
      const told = [...reader.told];
      stand.hub.close();
      reading.release();
      await turn();
      await pass(1_000);
      expect(reader.told).toEqual(told);
      expect(log.listening).toBe(0);
      if (middle === 'absence') await log.read(topic, '0-0', { maxEvents: 1, maxBytes: 1 });
      open();
    }
  });
});
