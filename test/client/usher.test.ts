import { expect, setDefaultTimeout, test } from 'bun:test';
import { createUsher, isUsherError, type UsherError } from '@usher/client';
import { createPublisher } from '@usher/client/publisher';
import { type BoxedTopics, defineTopic } from '@usher/contracts';
import { z } from 'zod';
import { freePort } from '../harness/port.ts';
import { startRedis } from '../harness/redis.ts';
import { startServer } from '../harness/server.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { logOf, startCaller } from './scene.ts';

setDefaultTimeout(60_000);

const id = () => crypto.randomUUID().slice(0, 8);

test('a job is published, read with for await, folded, and over', async () => {
  await using server = await startServer();
  await using caller = startCaller({ url: server.url, token: () => publisherToken() });
  const job = caller.usher.topic('job', id());
  await job.create({ state: { status: 'pending', progress: 0 } });
  const subscription = job.subscribe({ history: 10 });
  const reading = (async () => {
    const items: string[] = [];
    for await (const item of subscription) {
      // Typed: a union by `type`, and of events by `name`.
      if (item.type === 'event' && item.event.name === 'file_completed') items.push(item.event.data.file);
      else items.push(item.type === 'event' ? item.event.name : item.type);
    }
    return items;
  })();
  await eventually(() => subscription.view.status === 'current');
  expect(subscription.view.state).toEqual({ status: 'pending', progress: 0 });
  await job.publish('job_started', { totalFiles: 1 });
  await eventually(() => subscription.view.state?.status === 'running');
  const { positions } = await job.publishMany([
    { name: 'file_processing', data: { file: 'a.pdf' } },
    { name: 'file_completed', data: { file: 'a.pdf' } },
  ]);
  expect(positions).toHaveLength(2);
  await job.publish('job_completed', {}, { state: { status: 'completed', progress: 1 } });
  expect(await reading).toEqual(['snapshot', 'job_started', 'file_processing', 'a.pdf', 'job_completed', 'closed']);
  expect(subscription.view).toMatchObject({ status: 'closed', state: { status: 'completed' } });
  expect(subscription.view.events.map(({ name }) => name)).toEqual([
    'job_started',
    'file_processing',
    'file_completed',
    'job_completed',
  ]);
  expect((await job.state()).state).toEqual({ status: 'completed', progress: 1 });
  expect((await job.history({ limit: 2, reverse: true })).events.map(({ name }) => name)).toEqual([
    'job_completed',
    'file_completed',
  ]);
  const refused = (await job.publish('job_started', {}).catch((error) => error)) as UsherError;
  expect([isUsherError(refused), refused.code, typeof refused.traceId]).toEqual([true, 'TOPIC_CLOSED', 'string']);
});

test('a subscription continues from the position another one gave', async () => {
  await using server = await startServer();
  await using caller = startCaller({ url: server.url, token: () => publisherToken() });
  const topic = caller.usher.topic('public', id());
  const { position } = await topic.publish('a', 1);
  await topic.publish('b', 2);
  const names: string[] = [];
  for await (const item of topic.subscribe({ lastEventId: position! })) {
    names.push(item.type === 'event' ? item.event.name : item.type);
    if (names.length === 2) break;
  }
  expect(names).toEqual(['resumed', 'b']);
});

test('a key that was used makes no second entry', async () => {
  await using server = await startServer();
  await using caller = startCaller({ url: server.url, token: () => publisherToken() });
  const name = id();
  const topic = caller.usher.topic('public', name);
  const first = await topic.publish('a', 1, { idempotencyKey: 'k' });
  const second = await topic.publish('a', 1, { idempotencyKey: 'k' });
  expect([first.duplicate, second.duplicate]).toEqual([false, true]);
  expect(await logOf(server, name)).toHaveLength(1);
});

test('a topic that is not there is final after its time, for callbacks and for for await', async () => {
  await using server = await startServer();
  await using caller = startCaller({
    url: server.url,
    token: () => mintToken({ userId: 'alice' }),
    calls: { unknownTopicMs: 700 },
  });
  const topic = caller.usher.topic('job', id());
  const startedAt = performance.now();
  const errors: string[] = [];
  topic.subscribe({ onError: ({ code }) => errors.push(code) });
  const reading = (async () => {
    for await (const _ of topic.subscribe());
  })();
  expect(await reading.catch((error: UsherError) => error.code)).toBe('TOPIC_UNKNOWN');
  await eventually(() => errors[0] === 'TOPIC_UNKNOWN');
  expect(performance.now() - startedAt).toBeGreaterThan(600);
});

test('presence is told and folded', async () => {
  await using server = await startServer();
  await using alice = startCaller({ url: server.url, token: () => mintToken({ userId: 'alice' }) });
  await using bob = startCaller({ url: server.url, token: () => mintToken({ userId: 'bob' }) });
  const name = id();
  const seen = alice.usher.topic('public', name).subscribe({ presence: true, onPresence: () => {} });
  await alice.until('live');
  const there = bob.usher.topic('public', name).subscribe({ presence: true, onItem: () => {} });
  await eventually(() => seen.view.members.some(({ userId }) => userId === 'bob'), { what: 'bob' });
  there.unsubscribe();
  await eventually(() => seen.view.members.every(({ userId }) => userId !== 'bob'), { what: 'bob gone' });
});

test('close() ends every subscription without an error, and the process is free to end', async () => {
  await using server = await startServer();
  const caller = startCaller({ url: server.url, token: () => publisherToken() });
  const topic = caller.usher.topic('public', id());
  const errors: string[] = [];
  topic.subscribe({ onError: ({ code }) => errors.push(code) });
  const reading = (async () => {
    for await (const _ of topic.subscribe());
    return 'ended';
  })();
  await caller.until('live');
  caller.usher.close();
  expect(await reading).toBe('ended');
  expect([errors, caller.told.at(-1)]).toEqual([[], 'close CLOSED']);
});

test("a worker's events are in the log once each and in order, though server and Redis go and come", async () => {
  await using redis = await startRedis({ persist: true });
  const env = { REDIS_URL: redis.url, PORT: String(await freePort()), TOPIC_MAX_EVENTS: '20000' };
  let server = await startServer({ env });
  const failures: string[] = [];
  const publisher = createPublisher({
    url: server.url,
    token: () => publisherToken(),
    retry: { initialMs: 20, maxMs: 300 },
    timeoutMs: 2_000,
    onError: ({ code }) => failures.push(code),
  });
  const name = id();
  const total = 3_000;
  for (let n = 1; n <= total; n += 1) {
    void publisher.publish({ topic: `public:${name}`, name: 'n', data: n });
    if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    if (n === 500 || n === 1_500) {
      await server.kill();
      server = await startServer({ env });
    }
    if (n === 1_000 || n === 2_000) {
      await redis.kill();
      await redis.start();
    }
  }
  await publisher.close();
  expect(failures).toEqual([]);
  expect((await logOf(server, name)).map(({ data }) => data)).toEqual(Array.from({ length: total }, (_, n) => n + 1));
  await server.kill();
});

test('the types hold: topics, events and states are those of the definitions', () => {
  const order = defineTopic({
    name: 'order',
    state: z.looseObject({ status: z.enum(['open', 'shipped']) }),
    events: { order_shipped: z.looseObject({ carrier: z.string() }) },
  });
  const check = () => {
    const usher = createUsher<BoxedTopics & { order: typeof order }>({ url: 'http://localhost' });
    // @ts-expect-error there is no such topic
    usher.topic('jobs', '1');
    const job = usher.topic('job', '1');
    // @ts-expect-error there is no such event
    void job.publish('job_begun', {});
    // @ts-expect-error its data has a file
    void job.publish('file_completed', {});
    void usher.topic('order', '1').publish('order_shipped', { carrier: 'post' });
    void usher.topic('public', '1').publish('anything', [1, 'two']);
    job.subscribe({
      onEvent({ event }) {
        if (event.name === 'job_failed') event.data.message.toUpperCase();
        // @ts-expect-error there is no such name
        if (event.name === 'order_shipped') return;
      },
      onView({ state }) {
        // @ts-expect-error not a status of a job
        if (state?.status === 'shipped') return;
      },
    });
    void createPublisher({ url: 'http://localhost' }).topic('agent', '1').publish('tool_executing', { tool: 'grep' });
  };
  expect(check).toBeFunction();
});
