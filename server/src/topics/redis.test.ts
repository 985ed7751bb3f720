import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { pino } from 'pino';
import { type Redis, startRedis } from '../../../test/harness/redis.ts';
import { eventually } from '../../../test/harness/wait.ts';
import { connectRedis } from '../redis/connect.ts';
import { RedisAwayError, type RedisConnection } from '../redis/connection.ts';
import { topicKeys } from './keys.ts';
import { parseLiveMessage } from './live-message.ts';
import type { AppendRequest } from './log.ts';
import { describeTopicLog, suiteLimits } from './log-behaviour.ts';
import { createRedisLog } from './redis.ts';

let redis: Redis;
let one: RedisConnection;
let two: RedisConnection;

const connect = async (): Promise<RedisConnection> => {
  const connection = connectRedis({ urls: [redis.url], log: pino({ level: 'silent' }) });
  await eventually(() => connection.state === 'ready' && connection.delivery === 'ready');
  return connection;
};

beforeAll(async () => {
  redis = await startRedis();
  [one, two] = await Promise.all([connect(), connect()]);
});
afterAll(async () => {
  await Promise.all([one.close(), two.close()]);
  await redis[Symbol.asyncDispose]();
});

const command = (...args: string[]) => one.send('', args);
const keys = async (): Promise<string[]> => (await command('KEYS', '*')) as string[];

/** Takes `ms` from the life of every key, and from the age of every idempotency key. */
async function pass(ms: number): Promise<void> {
  for (const key of await keys()) {
    const left = Number(await command('PTTL', key));
    if (left >= 0) await (left <= ms ? command('DEL', key) : command('PEXPIRE', key, String(left - ms)));
    if (!key.endsWith('idempotency-ages')) continue;
    for (const member of (await command('ZRANGE', key, '0', '-1')) as string[]) {
      await command('ZINCRBY', key, String(-ms * 1024), member);
    }
  }
  // Positions come from the real clock: what is written next is written later.
  const before = Date.now();
  await eventually(() => Date.now() > before, { intervalMs: 1 });
}

describeTopicLog('the log in Redis', async () => {
  await command('FLUSHALL');
  const log = createRedisLog({ ...suiteLimits, redis: one });
  return {
    log,
    other: createRedisLog({ ...suiteLimits, redis: two }),
    leftovers: async (topic) => (await keys()).filter((key) => key.includes(`{${topic}}`)),
    pass,
    async setClockBack(topic, ms) {
      await log.append(topic, create);
      await command('HSET', topicKeys(one.keyPrefix, topic).meta, 'last', `${Date.now() + ms}-7`);
    },
    async empty() {
      await command('FLUSHALL');
    },
    // What one connection has published before this subscription was confirmed on another has been delivered on it.
    async settle() {
      for (const connection of [one, two]) {
        const listener = () => {};
        const channel = `settle:${Math.random()}`;
        await connection.subscribe(channel, listener);
        await connection.unsubscribe(channel, listener);
      }
    },
  };
});

const create: AppendRequest = { entries: [], state: undefined, owner: undefined, mode: 'create' };
const publish = (n: number, more: Partial<AppendRequest> = {}): AppendRequest => ({
  entries: [{ tail: `"name":"e","data":${n}`, idempotencyKey: `k${n}` }],
  state: undefined,
  owner: undefined,
  mode: 'publish',
  ...more,
});

describe('the log in Redis', () => {
  const log = () => createRedisLog({ ...suiteLimits, redis: one });
  const look = { maxEvents: 100, maxBytes: 1_000_000, touch: false };

  test('names every key of a topic under its hash tag, and gives each a life', async () => {
    await command('FLUSHALL');
    await log().append('job:1', publish(1, { state: '{}', owner: 'ann' }));
    const names = topicKeys('usher:', 'job:1');
    const written = [names.log, names.meta, names.state, names.idempotency, names.idempotencyAges];
    expect((await keys()).sort()).toEqual([...written].sort());
    for (const key of written) {
      const life = key === names.meta ? suiteLimits.topicTtlMs * 30 : suiteLimits.topicTtlMs;
      expect(Number(await command('PTTL', key))).toBeWithin(life - 5_000, life + 1);
    }
    await log().append('job:1', publish(2, { mode: 'publish-close' }));
    for (const key of written) {
      expect(Number(await command('PTTL', key))).toBeWithin(1, suiteLimits.topicCloseGraceMs + 1);
    }
  });

  test('keeps a position that only readers hold under one key', async () => {
    await command('FLUSHALL');
    await log().snapshot('job:1', { ...look, touch: true });
    expect(await keys()).toEqual([topicKeys('usher:', 'job:1').meta]);
  });

  test('proves the log’s end, and goes on numbering, when what stands beside the entries was evicted', async () => {
    const topic = 'job:evicted';
    const first = await log().append(topic, publish(1));
    const second = await log().append(topic, publish(2));
    if (first.outcome !== 'appended' || second.outcome !== 'appended') throw new Error('Wanted appends');
    await command('DEL', topicKeys('usher:', topic).meta);
    const page = { maxEvents: 10, maxBytes: 1_000_000 };
    expect(await log().read(topic, second.last, page)).toMatchObject({ proven: true, last: second.last, entries: [] });
    expect(await log().read(topic, first.last, page)).toMatchObject({ proven: true, entries: [{}] });
    expect((await log().head(topic)).last).toBe(second.last);
    expect(
      (await log().range(topic, { ...look, after: undefined, before: undefined, limit: 10, reverse: false })).last,
    ).toBe(second.last);
    expect((await log().snapshot(topic, { ...look, touch: true })).last).toBe(second.last);
    const third = await log().append(topic, publish(3));
    expect(third).toMatchObject({ outcome: 'appended', created: true });
    expect(await log().read(topic, second.last, page)).toMatchObject({ proven: true, entries: [{}] });
  });

  test('reads a long history without holding it whole', async () => {
    const topic = 'job:long';
    const wide = createRedisLog({ ...suiteLimits, topicMaxEvents: 1_000, redis: one });
    for (let batch = 0; batch < 4; batch += 1) {
      const entries = Array.from({ length: 60 }, (_, n) => ({
        tail: `"name":"e","data":${batch * 60 + n}`,
        idempotencyKey: undefined,
      }));
      await wide.append(topic, { ...publish(0), entries });
    }
    const numbers = (entries: readonly { tail: string }[]) => entries.map(({ tail }) => Number(tail.split(':')[2]));
    const all = Array.from({ length: 240 }, (_, n) => n);
    const range = { after: undefined, before: undefined, limit: 1_000, reverse: false, maxBytes: 1_000_000 };
    expect(numbers((await wide.range(topic, range)).entries)).toEqual(all);
    expect(numbers((await wide.range(topic, { ...range, reverse: true })).entries)).toEqual([...all].reverse());
    expect(numbers((await wide.snapshot(topic, { ...look, maxEvents: 1_000 })).entries)).toEqual(all);
    expect(numbers((await wide.snapshot(topic, { ...look, maxEvents: 130 })).entries)).toEqual(all.slice(110));
    const half = await wide.range(topic, { ...range, limit: 150 });
    expect([half.entries.length, half.complete]).toEqual([150, false]);
  });

  test('refuses as away, and has written nothing, when Redis is full', async () => {
    const topic = 'job:full';
    await log().append(topic, publish(1));
    await command('CONFIG', 'SET', 'maxmemory', '1');
    try {
      const refusal = await log()
        .append(topic, publish(2))
        .catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(RedisAwayError);
      expect((refusal as RedisAwayError).ambiguous).toBe(false);
      expect((await log().snapshot(topic, look)).entries).toHaveLength(1);
    } finally {
      await command('CONFIG', 'SET', 'maxmemory', '0');
    }
    expect(await log().append(topic, publish(2))).toMatchObject({ duplicates: [false] });
  });
});

describe('parseLiveMessage()', () => {
  test('gives nothing for what is not of its form', () => {
    for (const text of ['', 'x', 'e', 'e\n1-1\nnonsense']) expect(parseLiveMessage(text)).toBeNull();
    expect(parseLiveMessage('e\n1-1\n@{')).toMatchObject({ owner: null });
  });

  test('reads each kind', () => {
    expect(parseLiveMessage('d')).toEqual({ kind: 'deleted' });
    expect(parseLiveMessage('p\n{"joined":[],"left":[]}')).toEqual({
      kind: 'presence',
      change: '{"joined":[],"left":[]}',
    });
    expect(parseLiveMessage('e\n5-0\n6-1 "name":"e","data":{"a b":1}\n={"s":1}\n@"an\\nn"\n!')).toEqual({
      kind: 'appended',
      before: '5-0',
      entries: [{ position: '6-1', tail: '"name":"e","data":{"a b":1}' }],
      state: '{"s":1}',
      owner: 'an\nn',
      closed: true,
    });
  });
});
