import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import type { PublishInput, UsherError } from '@usher/contracts';
import { createLog, readConfig, startServer, type UsherServer } from '@usher/server';
import { openRaw, type RawClient } from '../harness/raw-client.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import { publisherToken, testSecret } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';

setDefaultTimeout(30_000);

let redis: Redis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

async function start(env: Readonly<Record<string, string>>): Promise<UsherServer> {
  const read = readConfig({ JWT_SECRET: testSecret, PORT: '0', ...env });
  if (!read.ok) throw new Error(JSON.stringify(read.faults));
  return startServer({ config: read.config, log: createLog({ level: 'silent' }) });
}

const worker = { userId: 'worker', sessionId: 's', scopes: ['publish'], topics: ['*'], expiresAt: null };

test.each(['memory', 'Redis'])(
  'what is no JSON is refused in-process, and the service goes on, with %s',
  async (store) => {
    await using server = await start(store === 'Redis' ? { REDIS_URL: redis.url } : {});
    await eventually(() => server.ports.health.ready().status === 'ok');
    await using client: RawClient = await openRaw(server, { token: await publisherToken() });
    const subscription = client.subscribe({ topic: 'public:a' });
    await subscription.next();
    const publish = (data: unknown, more: Partial<PublishInput> = {}) =>
      server.topics.publish(worker, {
        topic: 'public:a',
        event: { name: 'e', data },
        state: undefined,
        owner: undefined,
        idempotencyKey: undefined,
        durable: true,
        ...more,
      });
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const bad of [10n, { at: [10n] }, cycle, () => {}, Symbol('no')]) {
      const refusal = (await publish(bad).catch((error: unknown) => error)) as UsherError;
      expect([refusal.reason, refusal.issues?.[0]?.path]).toEqual(['BAD_REQUEST', 'event.data']);
      const state = (await publish({}, { state: bad }).catch((error: unknown) => error)) as UsherError;
      expect([state.reason, state.issues?.[0]?.path]).toEqual(['BAD_REQUEST', 'state']);
    }
    expect(await publish({ fine: true })).toMatchObject({ durable: true, duplicate: false });
    expect((await subscription.next()).item).toMatchObject({ type: 'event', event: { data: { fine: true } } });
    expect(subscription.items).toHaveLength(2);
  },
);

test('a publisher in this process and one on the wire write one order', async () => {
  await using server = await start({ REDIS_URL: redis.url });
  await eventually(() => server.ports.health.ready().status === 'ok');
  await using client = await openRaw(server, { token: await publisherToken() });
  const topic = 'public:both';
  const subscription = client.subscribe({ topic });
  await subscription.next();
  const own = Array.from({ length: 50 }, (_, n) =>
    server.topics.publishMany(worker, {
      topic,
      events: [{ name: 'e', data: n, idempotencyKey: undefined }],
      state: undefined,
      owner: undefined,
      durable: true,
    }),
  );
  const wire = Array.from({ length: 50 }, (_, n) =>
    client.mutation('topic.publish', { topic, event: { name: 'e', data: 100 + n } }),
  );
  await Promise.all([...own, ...wire]);
  await eventually(() => subscription.events.length === 100);
  const history = await client.query<{ events: { position: string }[] }>('topic.history', { topic, limit: 200 });
  expect(subscription.events.map(({ position }) => position)).toEqual(
    history.data?.events.map(({ position }) => position) ?? [],
  );
});
