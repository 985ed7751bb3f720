import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { PublishInput, UsherError } from '@usher/contracts';
import { createScriptedLog, type ScriptedLog } from '../hub/scripted-log.fixture.ts';
import { readTopic, turn } from '../hub/stand.fixture.ts';
import { RedisAwayError } from '../redis/connection.ts';
import { createMemoryLog, type MemoryLog } from './memory.ts';
import { createTopicsStand, principal, type TopicsStand } from './stand.fixture.ts';

const worker = principal('worker', '*');
let memory: MemoryLog;
let log: ScriptedLog;
let stand: TopicsStand;
beforeEach(() => {
  memory = createMemoryLog({ topicMaxEvents: 100, topicTtlMs: 3_600_000, topicCloseGraceMs: 60_000 });
  log = createScriptedLog(memory);
  stand = createTopicsStand(log);
});
afterEach(() => {
  stand.hub.close();
  memory.close();
});

const input = (data: unknown, more: Partial<PublishInput> = {}): PublishInput => ({
  topic: 'public:a',
  event: { name: 'e', data },
  state: undefined,
  owner: undefined,
  idempotencyKey: undefined,
  durable: true,
  ...more,
});
const publish = (data: unknown, more: Partial<PublishInput> = {}) => stand.topics.publish(worker, input(data, more));
const refusal = async (promise: Promise<unknown>): Promise<UsherError> =>
  promise.then(
    () => {
      throw new Error('Wanted a refusal');
    },
    (error: UsherError) => error,
  );

describe('publish()', () => {
  test('refuses what is no JSON by its place, and appends nothing', async () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const throwing = {
      toJSON() {
        throw new Error('no');
      },
    };
    for (const data of [1n, { deep: [1n] }, cycle, () => {}, Symbol('s'), undefined, throwing]) {
      const error = await refusal(publish(data));
      expect([error.reason, error.issues?.[0]?.path]).toEqual(['BAD_REQUEST', 'event.data']);
    }
    expect((await refusal(publish({}, { state: { big: 1n } }))).issues?.[0]?.path).toBe('state');
    expect((await memory.head('public:a')).made).toBe(false);
  });

  test('keeps to the line what JSON may hold: line feeds, separators, lone surrogates', async () => {
    const reader = await readTopic(stand.hub, 'public:a');
    await reader.joined;
    const odd = { text: 'a\nb\r\u2028\u2029\u0000"\\', lone: '\ud800', 'ke\ny': 1 };
    await publish(odd, { event: { name: 'n\n"a"', data: odd }, state: { text: '\n=@!' } });
    expect(reader.items.at(-1)?.item).toMatchObject({ type: 'event', event: { name: 'n\n"a"', data: odd } });
    expect(await stand.topics.state(worker, { topic: 'public:a' })).toMatchObject({ state: { text: '\n=@!' } });
  });

  test('refuses a payload and a state beyond their bytes', async () => {
    expect((await refusal(publish('ä'.repeat(40_000)))).reason).toBe('PAYLOAD_TOO_LARGE');
    expect((await refusal(publish({}, { state: 'x'.repeat(300_000) }))).reason).toBe('PAYLOAD_TOO_LARGE');
  });

  test('closes the topic with a terminal event, and repeats it as a duplicate', async () => {
    const done = { topic: 'job:1', event: { name: 'job_completed', data: {} }, idempotencyKey: 'k' };
    const first = await publish({}, done);
    expect(await publish({}, done)).toEqual({ ...first, duplicate: true });
    expect((await refusal(publish({}, { ...done, idempotencyKey: 'other' }))).reason).toBe('TOPIC_CLOSED');
  });

  test('takes a terminal event only as the last of many', async () => {
    const names = (...all: string[]) =>
      stand.topics.publishMany(worker, {
        topic: 'job:1',
        events: all.map((name) => ({ name, data: {}, idempotencyKey: undefined })),
        state: undefined,
        owner: undefined,
        durable: true,
      });
    expect((await refusal(names('job_completed', 'job_started'))).issues?.[0]?.path).toBe('events.0.name');
    expect((await memory.head('job:1')).made).toBe(false);
    await names('job_started', 'job_completed');
    expect((await memory.head('job:1')).closed).toBe(true);
  });

  test('refuses an owner who is not the one it has', async () => {
    await publish({}, { owner: 'ann' });
    expect((await refusal(publish({}, { owner: 'ben' }))).issues?.[0]?.path).toBe('owner');
  });
});

describe('publish() while Redis is away', () => {
  test('is refused, and claims nothing, unless delivery is preferred to truth', async () => {
    const reader = await readTopic(stand.hub, 'public:a');
    await reader.joined;
    log.setAway(true);
    const error = await refusal(publish(1));
    expect([error.reason, error.retryAfterMs]).toEqual(['REDIS_NOT_READY', 1_000]);
    expect(await publish(2, { durable: false })).toEqual({ position: null, durable: false, duplicate: false });
    expect(reader.told).toEqual(['snapshot', 2]);
    log.setAway(false);
    expect(await publish(3, { durable: false })).toMatchObject({ durable: true, duplicate: false });
    expect(reader.told).toEqual(['snapshot', 2, 3]);
  });

  test('tells nothing locally of what may have been appended', async () => {
    const reader = await readTopic(stand.hub, 'public:a');
    await reader.joined;
    const appending = log.hold('append', true);
    const publishing = refusal(publish(1, { durable: false, idempotencyKey: 'k' }));
    await appending.reached;
    appending.fail(new RedisAwayError('no answer', { ambiguous: true }));
    expect((await publishing).reason).toBe('REDIS_NOT_READY');
    expect((await publishing).message).toContain('same idempotency key');
    expect(await publish(1, { idempotencyKey: 'k' })).toMatchObject({ duplicate: true });
    await turn();
    expect(reader.told).toEqual(['snapshot', 1]);
  });
});

describe('state() while Redis is away', () => {
  test('is answered with what this instance knows, to those who may read it', async () => {
    await publish(
      {},
      { topic: 'job:1', event: { name: 'job_started', data: {} }, owner: 'ann', state: { status: 'running' } },
    );
    const reader = await readTopic(stand.hub, 'job:1');
    await reader.joined;
    log.setAway(true);
    const state = await stand.topics.state(principal('ann'), { topic: 'job:1' });
    expect(state).toEqual({ position: reader.channel.position, state: { status: 'running' } });
    expect((await refusal(stand.topics.state(principal('ben'), { topic: 'job:1' }))).reason).toBe('TOPIC_UNKNOWN');
    expect((await refusal(stand.topics.state(worker, { topic: 'job:2' }))).reason).toBe('REDIS_NOT_READY');
  });
});

describe('history()', () => {
  const history = (more: object) =>
    stand.topics.history(worker, {
      topic: 'public:a',
      limit: 10,
      reverse: false,
      after: undefined,
      before: undefined,
      ...more,
    });

  test('goes in pages in either direction, by position or by an item’s id', async () => {
    for (let n = 1; n <= 5; n += 1) await publish(n);
    const first = await history({ limit: 2 });
    expect(first).toMatchObject({ events: [{ data: 1, name: 'e' }, { data: 2 }], complete: false });
    const after = `${first.events.at(-1)?.position}~x.1`;
    expect(await history({ after })).toMatchObject({ events: [{ data: 3 }, { data: 4 }, { data: 5 }], complete: true });
    expect(await history({ reverse: true, limit: 1 })).toMatchObject({ events: [{ data: 5 }], complete: false });
    expect(first.position).toBe((await history({ reverse: true })).events[0]?.position as string);
  });

  test('of an open topic nobody made is empty', async () => {
    expect(await history({})).toEqual({ events: [], position: '0-0', complete: true });
    expect(await history({ before: '0-0' })).toEqual({ events: [], position: '0-0', complete: true });
  });
});
