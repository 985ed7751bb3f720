import { afterEach, beforeEach, describe, expect, jest, test } from 'bun:test';
import type { PollInput, UsherError } from '@usher/contracts';
import { createScriptedLog, type ScriptedLog } from '../hub/scripted-log.fixture.ts';
import { numbered, turn } from '../hub/stand.fixture.ts';
import { createMemoryLog, type MemoryLog } from './memory.ts';
import { createTopicsStand, principal, type TopicsStand } from './stand.fixture.ts';

const topic = 'public:a';
const ann = principal('ann');
let at: number;
let memory: MemoryLog;
let log: ScriptedLog;
let stand: TopicsStand;
beforeEach(() => {
  jest.useFakeTimers();
  at = 1_000_000;
  memory = createMemoryLog({
    topicMaxEvents: 100,
    topicTtlMs: 3_600_000,
    topicCloseGraceMs: 60_000,
    now: () => at,
    sweepIntervalMs: 3_600_000,
  });
  log = createScriptedLog(memory);
  stand = createTopicsStand(log);
});
afterEach(() => {
  stand.hub.close();
  memory.close();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

const publish = async (...numbers: number[]): Promise<void> => {
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
const input = (more: Partial<PollInput> = {}): PollInput => ({
  topic,
  lastEventId: undefined,
  waitMs: 0,
  limit: 100,
  history: 0,
  ...more,
});
const poll = async (more: Partial<PollInput> = {}, signal = new AbortController().signal) => {
  const { items, lastEventId } = await stand.topics.poll(ann, input(more), { signal, rest() {} });
  const told = items.map(({ item }) => (item.type === 'event' ? (item.event.data as number) : item.type));
  return { told, lastEventId };
};
/** A poll that has begun to wait. */
const waiting = async (more: Partial<PollInput>, signal?: AbortSignal) => {
  let isAnswered = false;
  const answer = poll({ waitMs: 20_000, ...more }, signal).finally(() => {
    isAnswered = true;
  });
  await turn();
  return {
    answer,
    get isAnswered() {
      return isAnswered;
    },
  };
};

describe('a poll', () => {
  test('from nowhere is answered at once with a snapshot, and with what follows from its id', async () => {
    await publish(1, 2);
    const first = await poll({ history: 1, waitMs: 20_000 });
    expect(first.told).toEqual(['snapshot']);
    await publish(3, 4);
    const second = await poll({ lastEventId: first.lastEventId });
    expect(second.told).toEqual([3, 4]);
    expect(await poll({ lastEventId: second.lastEventId })).toEqual({ told: [], lastEventId: second.lastEventId });
  });

  test('waits for the next event, or for its time', async () => {
    const { lastEventId } = await poll();
    const held = await waiting({ lastEventId });
    await pass(10_000);
    expect(held.isAnswered).toBe(false);
    await publish(1);
    expect((await held.answer).told).toEqual([1]);
    const idle = await waiting({ lastEventId: (await held.answer).lastEventId });
    await pass(20_000);
    expect((await idle.answer).told).toEqual([]);
  });

  test('takes all of a message that came in one moment', async () => {
    const { lastEventId } = await poll();
    const held = await waiting({ lastEventId });
    await publish(1, 2, 3);
    expect((await held.answer).told).toEqual([1, 2, 3]);
  });

  test('gives no more than was asked for, in items and in bytes, and goes on from there', async () => {
    await publish(1);
    let { lastEventId } = await poll();
    await publish(2, 3, 4, 5, 6, 7, 8);
    const seen: unknown[] = [];
    for (const count of [3, 3, 1]) {
      const answer = await poll({ lastEventId, limit: 3 });
      expect(answer.told).toHaveLength(count);
      seen.push(...answer.told);
      lastEventId = answer.lastEventId;
    }
    expect(seen).toEqual([2, 3, 4, 5, 6, 7, 8]);
    stand.hub.close();
    stand = createTopicsStand(log, { poll: { maxAnswerBytes: 200 } });
    await publish(9, 10, 11, 12, 13, 14);
    const small = await poll({ lastEventId });
    expect(small.told.length).toBeWithin(1, 5);
    expect((await poll({ lastEventId: small.lastEventId })).told[0]).toBe(9 + small.told.length);
  });

  test('that is full the moment it joins does not take what it then leaves out', async () => {
    const { lastEventId } = await poll();
    const held = await waiting({ lastEventId, limit: 2 });
    await publish(1, 2, 3);
    const first = await held.answer;
    expect(first.told).toEqual([1, 2]);
    expect((await poll({ lastEventId: first.lastEventId })).told).toEqual([3]);
  });

  test('from a position that cannot be continued is reset', async () => {
    await publish(1);
    expect((await poll({ lastEventId: '5-5', waitMs: 20_000 })).told).toEqual(['reset']);
    const { lastEventId } = await poll();
    const held = await waiting({ lastEventId });
    memory.clear();
    at += 1_000;
    await publish(2);
    expect((await held.answer).told).toEqual(['reset']);
  });

  test('is answered with the end of the topic, now and whenever it is asked again', async () => {
    const { lastEventId } = await poll();
    const held = await waiting({ lastEventId });
    await memory.append(topic, numbered([1], { mode: 'publish-close' }));
    expect((await held.answer).told).toEqual([1, 'closed']);
    const again = await poll({ lastEventId: (await held.answer).lastEventId, waitMs: 20_000 });
    expect(again.told).toEqual(['closed']);
    expect((await poll({ lastEventId })).told).toEqual([1, 'closed']);
  });

  test('that is broken off is not held, whenever that happens', async () => {
    const { lastEventId } = await poll();
    for (let turns = 0; turns < 30; turns += 1) {
      const leaving = new AbortController();
      const answer = poll({ lastEventId, waitMs: 20_000 }, leaving.signal);
      for (let n = 0; n < turns; n += 1) await Promise.resolve();
      leaving.abort();
      expect((await answer).told).toEqual([]);
    }
    expect(stand.hub.find(topic)?.users).toBe(0);
  });

  test('is let go when the hub closes', async () => {
    const { lastEventId } = await poll();
    const held = await waiting({ lastEventId });
    stand.hub.close();
    expect((await held.answer).told).toEqual([]);
  });

  test('takes presence for no news', async () => {
    const { lastEventId } = await poll();
    const held = await waiting({ lastEventId });
    stand.hub.tellPresence(topic, '{"joined":[],"left":[]}');
    await turn();
    expect(held.isAnswered).toBe(false);
    await publish(1);
    expect((await held.answer).told).toEqual([1]);
  });
});

describe('a poll while Redis is away', () => {
  const away = async (): Promise<void> => {
    log.setAway(true);
    log.holdLive();
    stand.setAvailable(false);
    await pass(500);
  };
  const back = async (): Promise<void> => {
    log.setAway(false);
    log.lose();
    log.passLive();
    stand.setAvailable(true);
    await turn();
  };

  test('is told, and is not answered again and again with what it knows', async () => {
    const { lastEventId } = await poll();
    const held = await waiting({ lastEventId });
    await away();
    const first = await held.answer;
    expect(first.told).toEqual(['degraded']);
    const second = await waiting({ lastEventId: first.lastEventId });
    await pass(20_000);
    expect((await second.answer).told).toEqual([]);
    expect((await second.answer).lastEventId).toBe(first.lastEventId);
    await back();
  });

  test('hears of the end of it, while it waits or between two polls, and then no more', async () => {
    const { lastEventId } = await poll();
    await away();
    const asked = await waiting({ lastEventId, waitMs: 1_000 });
    await pass(1_000);
    const degraded = await asked.answer;
    expect(degraded.told).toEqual(['degraded']);
    const held = await waiting({ lastEventId: degraded.lastEventId });
    await publish(1);
    await back();
    const restored = await held.answer;
    expect(restored.told.slice(0, 1)).toEqual([1]);
    const next = await poll({ lastEventId: restored.lastEventId });
    expect([...restored.told, ...next.told]).toEqual([1, 'restored']);
    // Between two polls.
    const late = await poll({ lastEventId: degraded.lastEventId });
    expect(late.told).toEqual(['restored', 1]);
    expect((await poll({ lastEventId: late.lastEventId })).told).toEqual([]);
  });

  test('keeps knowing it through events that reach only this instance, and logged ones', async () => {
    const { lastEventId } = await poll();
    await away();
    const known = await waiting({ lastEventId, waitMs: 500 });
    await pass(500);
    const { lastEventId: marked } = await known.answer;
    const held = await waiting({ lastEventId: marked });
    stand.hub.deliverLocal(topic, '"name":"e","data":90');
    const local = await held.answer;
    expect(local.told).toEqual([90]);
    // The delivery line is away, the commands are not: an event is read from the log by another way.
    await publish(1);
    log.setAway(false);
    const logged = await poll({ lastEventId: local.lastEventId });
    const more = await waiting({ lastEventId: logged.lastEventId, waitMs: 1_000 });
    await pass(1_000);
    expect([...logged.told, ...(await more.answer).told]).not.toContain('degraded');
    await back();
  });

  test('from nowhere gets a snapshot of what this instance knows', async () => {
    const holder = await stand.hub.acquire(topic);
    await memory.append(topic, numbered([1, 2], { state: '{"n":2}' }));
    await away();
    const answer = await stand.topics.poll(ann, input({ history: 5, waitMs: 1_000 }), undefined);
    expect(answer.items).toMatchObject([
      { item: { type: 'snapshot', state: { n: 2 }, events: [{ data: 1 }, { data: 2 }] } },
      { item: { type: 'degraded' } },
    ]);
    await back();
    stand.hub.release(holder);
  });

  test('in the middle of its replay is answered with what it has', async () => {
    await publish(1);
    const { lastEventId } = await poll();
    for (let n = 2; n < 40; n += 1) await publish(n);
    const [first, page, next] = [log.hold('read'), log.hold('read'), log.hold('read')];
    first.release();
    page.release();
    const answer = poll({ lastEventId, waitMs: 1_000 });
    await next.reached;
    log.setAway(true);
    next.fail();
    await pass(6_000);
    // And with word of it, since the topic could not be proven for long.
    expect((await answer).told).toEqual([2, 3, 4, 5, 'degraded']);
    log.setAway(false);
  });

  test('of a topic nobody here knows is refused', async () => {
    await away();
    const refusal = await poll({ topic: 'public:unknown' }).catch((error: unknown) => (error as UsherError).reason);
    expect(refusal).toBe('REDIS_NOT_READY');
    await back();
  });
});
