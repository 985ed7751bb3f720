import { afterEach, beforeEach, describe, expect, jest, test } from 'bun:test';
import { UsherError } from '@usher/contracts';
import type { LogLimits } from '../topics/log.ts';
import { createMemoryLog, type MemoryLog } from '../topics/memory.ts';
import { createScriptedLog, type ScriptedLog } from './scripted-log.fixture.ts';
import { createStand, numbered, readTopic, type Stand, turn } from './stand.fixture.ts';

const logLimits: LogLimits = { topicMaxEvents: 60, topicTtlMs: 3_600_000, topicCloseGraceMs: 60_000 };
const topic = 'public:a';

let at: number;
let memory: MemoryLog;
let log: ScriptedLog;
let stand: Stand;
const publish = async (...numbers: number[]): Promise<readonly string[]> => {
  at += 1;
  const appended = await memory.append(topic, numbered(numbers));
  await turn();
  return appended.outcome === 'appended' ? appended.positions : [];
};
const publishTo = async (from: number, to: number): Promise<readonly string[]> => {
  const positions: string[] = [];
  for (let n = from; n <= to; n += 1) positions.push(...(await publish(n)));
  return positions;
};
const pass = async (ms: number): Promise<void> => {
  for (let left = ms; left > 0; left -= 250) {
    at += Math.min(left, 250);
    jest.advanceTimersByTime(Math.min(left, 250));
    await turn();
  }
};
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

beforeEach(() => {
  jest.useFakeTimers();
  at = 1_000_000;
  memory = createMemoryLog({ ...logLimits, now: () => at, sweepIntervalMs: 3_600_000 });
  log = createScriptedLog(memory);
  stand = createStand(log, { now: () => at, random: () => 0 });
});
afterEach(() => {
  stand.hub.close();
  memory.close();
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

describe('the first word', () => {
  test('is a snapshot for one who comes from nowhere, with as much history as it asked for', async () => {
    await memory.append(topic, numbered([1, 2, 3], { state: '{"n":3}' }));
    for (const history of [0, 2, 9]) {
      const reader = await readTopic(stand.hub, topic, { history });
      await reader.joined;
      const events = range(1, 3).slice(3 - Math.min(3, history));
      expect(reader.items).toMatchObject([{ item: { type: 'snapshot', state: { n: 3 } } }]);
      expect(reader.items[0]?.item).toMatchObject({ events: events.map((data) => ({ data })) });
      expect(reader.lastId).toStartWith(`${reader.channel.position}~`);
    }
  });

  test('is resumed with the number that was missed, from this instance’s memory or from the log', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    const positions = await publishTo(1, 40);
    for (const [missed, reads] of [
      [0, 0],
      [1, 0],
      [8, 0],
      [39, 1],
    ] as const) {
      const before = log.calls('read');
      const reader = await readTopic(stand.hub, topic, { position: positions[39 - missed] as string });
      await reader.joined;
      expect(reader.items[0]?.item).toEqual({ type: 'resumed', replayed: missed });
      expect(reader.told.slice(1)).toEqual(range(41 - missed, 40));
      expect(log.calls('read') - before >= reads).toBe(true);
      if (reads === 0) expect(log.calls('read')).toBe(before);
    }
  });

  test('is reset where the position has expired, was never there, or is ahead', async () => {
    const positions = await publishTo(1, 70);
    const last = positions.at(-1) as string;
    const cases = [
      [positions[8] as string, 'expired'],
      ['0-0', 'expired'],
      [`${Number.parseInt(last, 10) + 5}-71`, 'unknown'],
      [`${Number.parseInt(last, 10)}-69`, 'unknown'],
    ] as const;
    for (const [position, reason] of cases) {
      const reader = await readTopic(stand.hub, topic, { position, history: 1 });
      await reader.joined;
      expect(reader.items).toMatchObject([{ item: { type: 'reset', reason, events: [{ data: 70 }] } }]);
      expect(reader.isLive).toBe(true);
    }
    const kept = await readTopic(stand.hub, topic, { position: positions[9] as string, maxReplayEvents: 100 });
    await kept.joined;
    expect(kept.told).toEqual(['resumed', ...range(11, 70)]);
  });

  test('is reset, and never part of it, where more was missed than a replay may carry', async () => {
    const positions = await publishTo(1, 60);
    const reader = await readTopic(stand.hub, topic, { position: positions[0] as string, maxReplayEvents: 20 });
    await reader.joined;
    expect(reader.items).toMatchObject([{ item: { type: 'reset', reason: 'limit' } }]);
    const near = await readTopic(stand.hub, topic, { position: positions[39] as string, maxReplayEvents: 20 });
    await near.joined;
    expect(near.told).toEqual(['resumed', ...range(41, 60)]);
    const remembered = await readTopic(stand.hub, topic, { position: positions[53] as string, maxReplayEvents: 5 });
    await remembered.joined;
    expect(remembered.told).toEqual(['reset']);
    expect(await stand.count('usher_resets_total', { reason: 'limit' })).toBe(2);
    expect(await stand.count('usher_events_replayed_total')).toBe(20);
  });
});

describe('one who joins', () => {
  test('while events arrive sees neither a gap nor a double', async () => {
    await publishTo(1, 30);
    const slow = Promise.withResolvers<void>();
    let waits = 0;
    const reader = await readTopic(stand.hub, topic, {
      position: (await memory.range(topic, all())).entries[4]?.position,
      pace: () => {
        waits += 1;
        return waits < 5 ? undefined : slow.promise;
      },
    });
    await turn();
    // Past what the memory of this instance holds.
    await publishTo(31, 50);
    slow.resolve();
    await reader.joined;
    await publishTo(51, 52);
    expect(reader.told).toEqual(['resumed', ...range(6, 52)]);
  });

  test('and is ahead of its channel joins when the channel arrives', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await publishTo(1, 3);
    const reader = await readTopic(stand.hub, topic, { history: 50 });
    await turn();
    expect(reader.items[0]?.item).toMatchObject({ type: 'snapshot', events: [{}, {}, {}] });
    expect(reader.isLive).toBe(false);
    log.deliver();
    await turn();
    expect(reader.isLive).toBe(false);
    log.passLive();
    await turn();
    expect(reader.isLive).toBe(true);
    await publish(4);
    expect(reader.told).toEqual(['snapshot', 4]);
    expect(log.calls('read')).toBe(1);
  });

  test('in the middle of a message gets the rest of it', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    const [, second] = await publish(1, 2, 3, 4);
    const reader = await readTopic(stand.hub, topic, { position: second as string });
    await turn();
    // It has the rest from the log, and waits for the channel to get there.
    log.passLive();
    await reader.joined;
    await publish(5);
    expect(reader.told).toEqual(['resumed', 3, 4, 5]);
    expect(holder.told).toEqual(['snapshot', 1, 2, 3, 4, 5]);
  });

  test('and waits for a channel that has missed something makes it look', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await publishTo(1, 3);
    log.lose();
    const reader = await readTopic(stand.hub, topic, { history: 50 });
    await pass(1_500);
    expect(reader.isLive).toBe(true);
    expect(holder.told).toEqual(['snapshot', 1, 2, 3]);
    log.passLive();
    await publish(4);
    expect(reader.told).toEqual(['snapshot', 4]);
  });

  test('after an old answer of the log reads on instead of waiting', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await publishTo(1, 3);
    const reading = log.hold('read', true);
    const joining = readTopic(stand.hub, topic, { history: 50 });
    await reading.reached;
    // The channel passes the reader by while the log says that nothing follows.
    log.passLive();
    await publishTo(4, 40);
    reading.release();
    const reader = await joining;
    await turn();
    expect(reader.isLive).toBe(true);
    expect(reader.told).toEqual(['snapshot', ...range(4, 40)]);
  });

  test('and waits for a channel that is reset to another place is reset as well', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await publishTo(1, 3);
    const reader = await readTopic(stand.hub, topic, { history: 50 });
    await turn();
    expect(reader.isLive).toBe(false);
    log.lose();
    log.passLive();
    memory.clear();
    at += 1_000;
    await publish(11);
    expect(holder.told).toEqual(['snapshot', 'reset']);
    expect(reader.told).toEqual(['snapshot', 'reset']);
    await publish(12);
    expect(reader.told).toEqual(['snapshot', 'reset', 12]);
  });

  test('a log that has gone back behind the channel is brought to where the log is', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    await publishTo(1, 3);
    const restore = memory.copy();
    const [, , third] = holder.items.slice(1);
    await publishTo(4, 30);
    restore();
    const reader = await readTopic(stand.hub, topic, { position: third?.id as string });
    const before = log.calls('read');
    await pass(2_500);
    expect(reader.isLive).toBe(true);
    expect(log.calls('read') - before).toBeLessThan(10);
    expect(holder.told.at(-1)).toBe('reset');
    await publish(31);
    expect([reader.told, holder.told.at(-1)]).toEqual([['resumed', 31], 31]);
  });

  test('a log that is lost in the middle of its replay is told', async () => {
    const positions = await publishTo(1, 30);
    const gate = Promise.withResolvers<void>();
    const reader = await readTopic(stand.hub, topic, {
      position: positions[0] as string,
      pace: (json) => (json.includes('"data":4') ? gate.promise : undefined),
    });
    await turn();
    memory.clear();
    at += 1_000;
    await publish(31);
    gate.resolve();
    await reader.joined;
    await publish(32);
    expect(reader.told).toEqual(['resumed', 2, 3, 4, 5, 'reset', 32]);
  });

  test('with many others that miss the same shares one read of each page', async () => {
    const positions = await publishTo(1, 12);
    const readers = await Promise.all(
      Array.from({ length: 50 }, () => readTopic(stand.hub, topic, { position: positions[0] as string })),
    );
    await Promise.all(readers.map((reader) => reader.joined));
    for (const reader of readers) expect(reader.told).toEqual(['resumed', ...range(2, 12)]);
    // The first word and three pages of four.
    expect(log.calls('read')).toBeLessThanOrEqual(5);
  });

  test('and leaves while it waits is never joined, and leaves nothing behind', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await publishTo(1, 3);
    const waiting = await readTopic(stand.hub, topic, { history: 50 });
    const gate = Promise.withResolvers<void>();
    const slow = await readTopic(stand.hub, topic, { history: 50, pace: () => gate.promise });
    await turn();
    waiting.leave();
    slow.leave();
    gate.resolve();
    await Promise.all([waiting.joined, slow.joined]);
    log.passLive();
    await turn();
    expect([waiting.isLive, slow.isLive]).toEqual([false, false]);
    expect(waiting.told).toEqual(['snapshot']);
  });

  test('a topic that has ended gets what is left of it, and the end', async () => {
    const [first] = await publishTo(1, 5);
    await memory.append(topic, numbered([6], { mode: 'publish-close', state: '{"n":6}' }));
    const late = await readTopic(stand.hub, topic, { history: 2 });
    await late.joined;
    expect(late.told).toEqual(['snapshot', 'closed']);
    expect(late.items[0]?.item).toMatchObject({ state: { n: 6 }, events: [{ data: 5 }, { data: 6 }] });
    const back = await readTopic(stand.hub, topic, { position: first as string });
    await back.joined;
    expect(back.told).toEqual(['resumed', ...range(2, 6), 'closed']);
    const again = await readTopic(stand.hub, topic, { position: back.lastId?.split('~')[0] as string });
    await again.joined;
    expect(again.told).toEqual(['resumed', 'closed']);
    expect([late, back, again].some((reader) => reader.isLive)).toBe(false);
  });

  test('a topic whose end the channel has not heard of is told all the same', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await publish(1);
    await memory.append(topic, numbered([2], { mode: 'publish-close' }));
    const reader = await readTopic(stand.hub, topic, { history: 50 });
    await turn();
    expect(reader.told).toEqual(['snapshot', 'closed']);
    expect(reader.isLive).toBe(false);
    log.passLive();
    await turn();
    expect(holder.told).toEqual(['snapshot', 1, 2, 'closed']);
  });

  test('slowly a topic that is deleted and made again meanwhile gets its end, and nothing of the other', async () => {
    const positions = await publishTo(1, 30);
    const gate = Promise.withResolvers<void>();
    const reader = await readTopic(stand.hub, topic, {
      position: positions[0] as string,
      history: 9,
      pace: (json) => (json.includes('"data":6}') ? gate.promise : undefined),
    });
    await turn();
    await memory.delete(topic);
    at += 1_000;
    await publish(90);
    gate.resolve();
    await reader.joined;
    expect(reader.told.at(-1)).toBe('closed');
    expect(JSON.stringify(reader.items)).not.toContain('"data":90');
    expect(reader.lastId).toStartWith(`${positions[(reader.told.at(-2) as number) - 1]}~`);
  });

  test('is not told that the topic has ended when only this instance has', async () => {
    const positions = await publishTo(1, 30);
    const gate = Promise.withResolvers<void>();
    const reader = await readTopic(stand.hub, topic, {
      position: positions[27] as string,
      pace: (json) => (json.includes('"data":30') ? gate.promise : undefined),
    });
    await turn();
    stand.hub.close();
    gate.resolve();
    await reader.joined;
    expect(reader.told).toEqual(['resumed', 29, 30]);
  });
});

describe('one who joins while Redis goes or comes', () => {
  const held = async (position: string | undefined) => {
    const gate = Promise.withResolvers<void>();
    let isFirst = true;
    const reader = await readTopic(stand.hub, topic, {
      position,
      // Held after the first word.
      pace: () => {
        const wait = isFirst ? gate.promise : undefined;
        isFirst = false;
        return wait;
      },
    });
    await turn();
    return { reader, release: gate.resolve };
  };

  test('hears that it went', async () => {
    await publish(1);
    const { reader, release } = await held(undefined);
    stand.setAvailable(false);
    await pass(500);
    release();
    await reader.joined;
    expect(reader.told).toEqual(['snapshot', 'degraded']);
    stand.setAvailable(true);
    await turn();
    expect(reader.told).toEqual(['snapshot', 'degraded', 'restored']);
  });

  test('hears that it came back, if it was told that it went', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    stand.setAvailable(false);
    await pass(500);
    const gate = Promise.withResolvers<void>();
    const reader = await readTopic(stand.hub, topic, {
      pace: (json) => (json.includes('degraded') ? gate.promise : undefined),
    });
    await turn();
    stand.setAvailable(true);
    await turn();
    gate.resolve();
    await reader.joined;
    expect(reader.told).toEqual(['snapshot', 'degraded', 'restored']);
    const late = await held(undefined);
    late.release();
    await late.reader.joined;
    expect(late.reader.told).toEqual(['snapshot']);
  });

  test('with an id from that time hears only what has changed since', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    const [position] = await publish(1);
    stand.setAvailable(false);
    await pass(500);
    const marked = holder.lastId as string;
    expect(marked).toStartWith(`${position}~`);
    const back = async () => {
      const reader = await readTopic(stand.hub, topic, { position: position as string, toldDegraded: true });
      await reader.joined;
      return reader.told;
    };
    expect(await back()).toEqual(['resumed']);
    stand.setAvailable(true);
    await turn();
    expect(await back()).toEqual(['resumed', 'restored']);
  });

  test('in the moment the channel arrives hears that it went', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await publishTo(1, 2);
    const reader = await readTopic(stand.hub, topic, { history: 50 });
    await turn();
    stand.setAvailable(false);
    await pass(500);
    log.passLive();
    await turn();
    expect(reader.told).toEqual(['snapshot', 'degraded']);
    expect(reader.isLive).toBe(true);
  });

  test('is not told that what it must begin anew is restored', async () => {
    await publish(1);
    const reader = await readTopic(stand.hub, topic, { position: '5-5', toldDegraded: true });
    await reader.joined;
    expect(reader.told).toEqual(['reset']);
  });

  test('waits for it in the middle of a replay, and then goes on', async () => {
    const positions = await publishTo(1, 30);
    const { reader, release } = await held(positions[0]);
    log.setAway(true);
    stand.setAvailable(false);
    await pass(1_000);
    release();
    await pass(5_000);
    expect(reader.told).toEqual(['resumed', 'degraded']);
    const reads = log.calls('read');
    expect(reads).toBeLessThan(20);
    log.setAway(false);
    stand.setAvailable(true);
    await pass(2_000);
    await reader.joined;
    expect(reader.told.filter((told) => told !== 'restored')).toEqual(['resumed', 'degraded', ...range(2, 30)]);
    expect(reader.told.filter((told) => told === 'restored')).toHaveLength(1);
    expect(reader.isLive).toBe(true);
  });
});

describe('one who may read as the owner', () => {
  const mayRead = (head: { readonly made: boolean; readonly owner: string | null }): boolean =>
    !head.made || head.owner === 'ann';
  const own = (owner: string, ...numbers: number[]) => {
    at += 1;
    return memory.append(topic, numbered(numbers, { owner }));
  };
  const refusalOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => null,
      (error: unknown) => (error instanceof UsherError ? error.reason : error),
    );

  test('is refused where the topic became another’s before this instance heard of it', async () => {
    await own('ann', 1);
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await memory.delete(topic);
    at += 1_000;
    await own('ben', 2, 3);
    const { channel } = holder;
    expect(channel.owner).toBe('ann');
    for (const position of [undefined, channel.position, '5-5', (await memory.head(topic)).last as string]) {
      const reader = await readTopic(stand.hub, topic, { position, history: 9, mayRead });
      await refusalOf(reader.joined);
      // What it had read it may have again; of the other's topic it sees nothing.
      expect(JSON.stringify(reader.items)).not.toMatch(/"data":[23]/);
      reader.leave();
    }
  });

  test('is refused where the topic becomes another’s in the middle of its replay', async () => {
    await own('ann', 1);
    const [first] = (await memory.range(topic, all())).entries;
    await own('ann', ...range(2, 30));
    const gate = Promise.withResolvers<void>();
    const reader = await readTopic(stand.hub, topic, {
      position: first?.position as string,
      mayRead,
      pace: (json) => (json.includes('"data":6}') ? gate.promise : undefined),
    });
    await turn();
    log.holdLive();
    await memory.delete(topic);
    at += 1_000;
    await own('ben', 90, 91);
    log.lose();
    gate.resolve();
    expect(await refusalOf(reader.joined)).toBe('TOPIC_UNKNOWN');
    expect(JSON.stringify(reader.items)).not.toMatch(/"data":9\d/);
  });

  test('is refused where another made what nobody had, before this instance heard of it', async () => {
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    const { position } = holder.channel;
    log.holdLive();
    await own('ben', 2, 3);
    // Where the log has not yet anything to show, and where it has.
    const waiting = log.hold('read');
    const reader = await readTopic(stand.hub, topic, { position: '5-5', mayRead });
    const behind = await readTopic(stand.hub, topic, { position, pace: () => undefined, mayRead });
    waiting.release();
    expect(await refusalOf(reader.joined)).toBe('TOPIC_UNKNOWN');
    await turn();
    log.passLive();
    await turn();
    expect(JSON.stringify([reader.items, behind.items])).not.toMatch(/"data":[23]/);
  });

  test('is let in where only the message that named the owner was lost', async () => {
    await publish(1);
    const holder = await readTopic(stand.hub, topic);
    await holder.joined;
    log.holdLive();
    await own('ann', 2);
    log.lose();
    log.passLive();
    expect(holder.channel.owner).toBeNull();
    const reader = await readTopic(stand.hub, topic, { mayRead });
    await pass(1_500);
    expect(reader.told).toEqual(['snapshot']);
    expect(reader.isLive).toBe(true);
    expect(holder.told).toEqual(['snapshot', 2]);
  });
});

function all() {
  return { after: undefined, before: undefined, limit: 100, reverse: false, maxBytes: 1_000_000 };
}
