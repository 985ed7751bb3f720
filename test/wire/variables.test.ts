import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import type { ConnectionInfo, TopicPage } from '@usher/contracts';
import { issueTicket, mutate, postTicket, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { startServer } from '../harness/server.ts';
import { adminToken, mintToken, publisherToken, testSecret } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually } from '../harness/wait.ts';
import { isReady, onEachServer } from './each-server.ts';

const oldSecret = 'old-secret-0123456789abcdef0123456789abcdef';
const key = (text: string) => createHash('sha256').update(text).digest('hex');
const apiKeys = [
  { id: 'worker-key', sha256: key('key-of-worker'), userId: 'worker', scopes: ['publish'], topics: ['job:*'] },
  { id: 'reader-key', sha256: key('key-of-reader').toUpperCase(), userId: 'reader' },
];

onEachServer(
  (server) => {
    const publish = async (topic: string, more: Readonly<Record<string, unknown>> = {}) =>
      mutate(
        server(),
        'topic.publish',
        { topic, event: { name: 'e', data: {} }, ...more },
        { token: await publisherToken() },
      );

    test.concurrent('TICKET_TTL_MS: a ticket ends by then, and says so when it is issued', async () => {
      const issued = (await postTicket(server(), { token: await mintToken() })).data;
      expect(issued?.expiresInMs).toBe(700);
      await eventually(() => Date.now() > (issued?.expiresAt ?? 0) + 20);
      expectRefusal(await tryUpgrade(server(), `/trpc?ticket=${issued?.ticket}`), 401, 'TICKET_INVALID');
    });

    test.concurrent('TOPIC_TTL_MS: a topic without events for that long has lost its log and its state', async () => {
      const topic = 'public:ttl';
      await publish(topic, { state: 'here' });
      await eventually(async () => {
        const token = await mintToken();
        const { data } = await query<{ state: unknown }>(server(), 'topic.state', { topic }, { token });
        const page = await query<TopicPage>(server(), 'topic.history', { topic }, { token });
        return data?.state === null && page.data?.events.length === 0;
      });
    });

    test.concurrent('TOPIC_CLOSE_GRACE_MS: a closed topic is gone after that, and may begin anew', async () => {
      const topic = 'public:grace';
      await publish(topic);
      await mutate(server(), 'topic.close', { topic }, { token: await publisherToken() });
      expectRefusal(await publish(topic), 409, 'TOPIC_CLOSED');
      await eventually(async () => (await publish(topic)).status === 200, { what: 'the grace to end' });
    });

    test.concurrent('MAX_PAYLOAD_BYTES and MAX_STATE_BYTES: counted as JSON, in bytes', async () => {
      const fits = 'x'.repeat(98);
      expect((await publish('public:bytes', { event: { name: 'e', data: fits } })).status).toBe(200);
      expectRefusal(
        await publish('public:bytes', { event: { name: 'e', data: `${fits}x` } }),
        413,
        'PAYLOAD_TOO_LARGE',
      );
      expectRefusal(
        await publish('public:bytes', { event: { name: 'e', data: 'é'.repeat(50) } }),
        413,
        'PAYLOAD_TOO_LARGE',
      );
      expect((await publish('public:bytes', { state: 'x'.repeat(198) })).status).toBe(200);
      expectRefusal(await publish('public:bytes', { state: 'x'.repeat(199) }), 413, 'PAYLOAD_TOO_LARGE');
    });

    test.concurrent('MAX_HISTORY_BYTES: a snapshot brings no more of the last events than fit', async () => {
      const topic = 'public:history-bytes';
      for (let n = 0; n < 10; n++) await publish(topic, { event: { name: 'e', data: `${n}`.repeat(90) } });
      await using client = await openRaw(server(), { token: await mintToken() });
      const { item } = await client.subscribe({ topic, history: 10 }).next();
      if (item.type !== 'snapshot') throw new Error(JSON.stringify(item));
      expect(item.events.length).toBeWithin(2, 5);
      expect(item.events.at(-1)?.data).toBe('9'.repeat(90));
    });

    test.concurrent('MAX_SUBSCRIPTIONS_PER_CONNECTION: one more is refused, the others go on', async () => {
      await using client = await openRaw(server(), { token: await mintToken() });
      const kept = [client.subscribe({ topic: 'public:s1' }), client.subscribe({ topic: 'public:s2' })];
      for (const subscription of kept) await subscription.next();
      const end = await client.subscribe({ topic: 'public:s3' }).ended();
      expect(end).toMatchObject({
        type: 'error',
        error: { code: 'CONNECTION_LIMIT', retryAfterMs: expect.any(Number) },
      });
      await publish('public:s2');
      expect((await kept[1]?.next())?.item.type).toBe('event');
      kept[0]?.stop();
      await kept[0]?.ended();
      await client.subscribe({ topic: 'public:s3' }).next();
    });

    test.concurrent('JWT_SECRET: each secret of the list is good, another is not', async () => {
      expect((await postTicket(server(), { token: await mintToken() })).status).toBe(200);
      expect((await postTicket(server(), { token: await mintToken({ secret: oldSecret }) })).status).toBe(200);
      const other = await mintToken({ secret: 'another-secret-0123456789abcdef0123456789' });
      expectRefusal(await postTicket(server(), { token: other }), 401, 'UNAUTHORIZED');
    });

    test.concurrent('API_KEYS: a key is its user with its scopes and topics, its id the session', async () => {
      const token = 'key-of-worker';
      const published = await mutate(
        server(),
        'topic.publish',
        { topic: 'job:key', event: { name: 'job_started' } },
        { token },
      );
      expect(published.status).toBe(200);
      expect((await query(server(), 'topic.state', { topic: 'job:key' }, { token })).status).toBe(200);
      const reader = { token: 'key-of-reader' };
      expectRefusal(await query(server(), 'topic.state', { topic: 'job:key' }, reader), 404, 'TOPIC_UNKNOWN');
      expectRefusal(await mutate(server(), 'topic.delete', { topic: 'job:key' }, reader), 403, 'FORBIDDEN');
      await using client = await openRaw(server(), { headers: { authorization: 'Bearer key-of-reader' } });
      await client.query('health.live');
      const list = await query<{ connections: ConnectionInfo[] }>(
        server(),
        'connection.list',
        { userId: 'reader' },
        { token: await adminToken() },
      );
      expect(list.data?.connections).toMatchObject([{ userId: 'reader', sessionId: 'reader-key' }]);
      for (const wrong of ['key-of-worke', 'key-of-worker2', key('key-of-worker')]) {
        expectRefusal(await postTicket(server(), { token: wrong }), 401, 'UNAUTHORIZED');
      }
    });

    test.concurrent('TRUST_PROXY: the address is what the nearest proxy saw', async () => {
      const token = await mintToken({ userId: 'proxied' });
      const headers = { authorization: `Bearer ${token}`, 'x-forwarded-for': '203.0.113.1, 198.51.100.7' };
      await using client = await openRaw(server(), { headers });
      await client.query('health.live');
      const list = await query<{ connections: ConnectionInfo[] }>(
        server(),
        'connection.list',
        { userId: 'proxied' },
        { token: await adminToken() },
      );
      expect(list.data?.connections[0]?.address).toBe('198.51.100.7');
    });

    test.concurrent('HEARTBEAT_INTERVAL_MS and PONG_TIMEOUT_MS: a silent client is asked, and cut when it does not answer', async () => {
      await using client = await openRaw(server(), { token: await mintToken(), answersPing: false });
      await client.frame((frame) => frame === 'PING');
      // Deno closes with a handshake, Bun cuts.
      expect([1005, 1006]).toContain((await client.closed).code);
    });

    test.concurrent('a client that answers is kept', async () => {
      await using client = await openRaw(server(), { token: await mintToken() });
      await eventually(() => client.frames.filter((frame) => frame === 'PING').length >= 2, { what: 'two PINGs' });
      expect((await client.query('health.live')).error).toBeUndefined();
    });
  },
  {
    env: {
      TICKET_TTL_MS: '700',
      TOPIC_TTL_MS: '1500',
      TOPIC_CLOSE_GRACE_MS: '700',
      MAX_PAYLOAD_BYTES: '100',
      MAX_STATE_BYTES: '200',
      MAX_HISTORY_BYTES: '400',
      MAX_SUBSCRIPTIONS_PER_CONNECTION: '2',
      HEARTBEAT_INTERVAL_MS: '500',
      PONG_TIMEOUT_MS: '500',
      JWT_SECRET: `${testSecret},${oldSecret}`,
      API_KEYS: JSON.stringify(apiKeys),
      TRUST_PROXY: 'true',
    },
  },
);

describe('with Redis', () => {
  test('REDIS_KEY_PREFIX stands before every key, and two prefixes share nothing', async () => {
    await using redis = await startRedis();
    const env = { REDIS_URL: redis.url };
    await using one = await startServer({ env: { ...env, REDIS_KEY_PREFIX: 'one:' } });
    await using other = await startServer({ env: { ...env, REDIS_KEY_PREFIX: 'other:' } });
    await Promise.all([isReady(one), isReady(other)]);
    const token = await publisherToken();
    const ticket = await issueTicket(one, token);
    await mutate(
      one,
      'topic.publish',
      { topic: 'public:prefixed', event: { name: 'e' }, idempotencyKey: 'k', state: 1 },
      { token },
    );
    await using client = await openRaw(one, { token });
    await client.subscribe({ topic: 'public:prefixed', presence: true }).next();
    const keys = (await redis.command('KEYS', '*')) as string[];
    expect(keys.length).toBeGreaterThan(4);
    for (const name of keys) expect(name).toMatch(/^(one|other):/);
    expectRefusal(await tryUpgrade(other, `/trpc?ticket=${ticket}`), 401, 'TICKET_INVALID');
    const page = await query<TopicPage>(other, 'topic.history', { topic: 'public:prefixed' }, { token });
    expect(page.data?.events).toEqual([]);
    expect((await tryUpgrade(one, `/trpc?ticket=${ticket}`)).status).toBe(101);
  });

  test('no key holds a ticket, and each has an end', async () => {
    await using redis = await startRedis();
    await using server = await startServer({ env: { REDIS_URL: redis.url } });
    await isReady(server);
    const token = await publisherToken();
    const ticket = await issueTicket(server, token);
    await using client = await openRaw(server, { token });
    await mutate(
      server,
      'topic.publish',
      { topic: 'public:ends', event: { name: 'e' }, idempotencyKey: 'k', state: 1 },
      { token },
    );
    await client.subscribe({ topic: 'public:ends', presence: true }).next();
    await mutate(server, 'session.revoke', { sessionId: 'nobody' }, { token: await adminToken() });
    const keys = (await redis.command('KEYS', '*')) as string[];
    const lasting: string[] = [];
    for (const name of keys) {
      expect(name).not.toContain(ticket.slice(4));
      if (Number(await redis.command('PTTL', name)) < 0) lasting.push(name);
    }
    // Who lives is one set, refreshed by each instance and cleared by all.
    expect(lasting.filter((name) => !name.endsWith('{control}:instances'))).toEqual([]);
  });
});
