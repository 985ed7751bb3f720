import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { ConnectionInfo } from '@usher/contracts';
import { mutate, postTicket, query, type Target } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { type Server, startServer } from '../harness/server.ts';
import { adminToken, mintToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually } from '../harness/wait.ts';
import { isReady } from './each-server.ts';

const operate = async <T>(target: Target, path: string, input: unknown) =>
  (path === 'connection.list' ? query : mutate)<T>(target, path, input, { token: await adminToken() });
const list = async (target: Target, input?: unknown): Promise<readonly ConnectionInfo[]> => {
  const answer = await operate<{ connections: ConnectionInfo[] }>(target, 'connection.list', input);
  if (answer.data === undefined) throw new Error(answer.text);
  expect(Object.keys(answer.data)).toEqual(['connections']);
  return answer.data.connections;
};

describe.each(['one instance, memory', 'two instances, Redis'])('%s', (kind) => {
  let redis: Redis | undefined;
  let here: Server;
  let there: Server;
  beforeAll(async () => {
    if (kind.endsWith('Redis')) redis = await startRedis();
    const env: Record<string, string> = redis ? { REDIS_URL: redis.url } : {};
    here = await startServer({ env });
    there = redis ? await startServer({ env }) : here;
    await Promise.all([isReady(here), isReady(there)]);
  });
  afterAll(async () => {
    await here.kill();
    await there.kill();
    await redis?.[Symbol.asyncDispose]();
  });

  test('connection.list tells of every connection who, where, since when and from where', async () => {
    const before = Date.now();
    const token = await mintToken({ userId: 'listed', sessionId: 'listed-1' });
    await using one = await openRaw(here, { token });
    await using two = await openRaw(there, { token: await mintToken({ userId: 'listed', sessionId: 'listed-2' }) });
    await Promise.all([one.query('health.live'), two.query('health.live')]);
    const connections = await eventually(async () => {
      const found = await list(here, { userId: 'listed' });
      return found.length === 2 ? found : false;
    });
    expect(connections.map((connection) => connection.sessionId)).toEqual(['listed-1', 'listed-2']);
    for (const connection of connections) {
      expect(connection).toEqual({
        connectionId: expect.any(String),
        instanceId: expect.any(String),
        userId: 'listed',
        sessionId: expect.any(String),
        since: expect.any(Number),
        address: expect.stringMatching(/127\.0\.0\.1|::1/),
      });
      expect(connection.since).toBeWithin(before, Date.now() + 1);
    }
    const instances = new Set(connections.map((connection) => connection.instanceId));
    expect(instances.size).toBe(here === there ? 1 : 2);
    expect(await list(here, { sessionId: 'listed-2' })).toHaveLength(1);
    expect(await list(here, { userId: 'nobody' })).toEqual([]);
    expect(await list(here, { userId: 'listed', limit: 1 })).toHaveLength(1);
    expect((await list(there)).length).toBeGreaterThanOrEqual(2);
    await two.close();
    await eventually(async () => (await list(here, { userId: 'listed' })).length === 1, { what: 'the one to be left' });
  });

  test('connection.disconnect closes one connection, wherever it is', async () => {
    const token = await mintToken({ userId: 'disconnected' });
    await using gone = await openRaw(there, { token });
    await gone.query('health.live');
    await using stays = await openRaw(here, { token });
    const [oldest] = await eventually(async () => {
      const found = await list(here, { userId: 'disconnected' });
      return found.length === 2 ? found : false;
    });
    const connectionId = oldest?.connectionId;
    const answer = await operate(here, 'connection.disconnect', { connectionId });
    expect(JSON.parse(answer.text)).toEqual({ result: { data: { disconnected: 1 } } });
    expect((await gone.closed).code).toBe(1012);
    expect((await stays.query('health.live')).error).toBeUndefined();
    expect((await operate(here, 'connection.disconnect', { connectionId })).data).toEqual({ disconnected: 0 });
    await using again = await openRaw(there, { token });
    expect((await again.query('health.live')).error).toBeUndefined();
  });

  test('session.revoke ends the live connections of a session, its tickets and its token, on every instance', async () => {
    const token = await mintToken({ userId: 'ada', sessionId: 'lost-phone' });
    const other = await mintToken({ userId: 'ada', sessionId: 'desk' });
    const ticket = (await postTicket(there, { token })).data?.ticket;
    await using one = await openRaw(here, { token });
    await using two = await openRaw(there, { token });
    await using desk = await openRaw(there, { token: other });
    await Promise.all([one, two, desk].map((client) => client.query('health.live')));
    const answer = await operate(here, 'session.revoke', { sessionId: 'lost-phone' });
    expect(JSON.parse(answer.text)).toEqual({ result: { data: { disconnected: 2 } } });
    for (const client of [one, two]) {
      expect(await client.closed).toEqual({ code: 1008, reason: 'SESSION_REVOKED' });
      expect(client.frames.at(-1)).toMatchObject({ id: null, error: { data: { reason: 'SESSION_REVOKED' } } });
    }
    expect((await desk.query('health.live')).error).toBeUndefined();
    for (const target of [here, there]) {
      expectRefusal(await postTicket(target, { token }), 401, 'SESSION_REVOKED');
      expectRefusal(await query(target, 'topic.poll', { topic: 'user:ada' }, { token }), 401, 'SESSION_REVOKED');
      expectRefusal(await tryUpgrade(target, '/trpc', { token }), 401, 'SESSION_REVOKED');
      expectRefusal(await tryUpgrade(target, `/trpc?ticket=${ticket}`), 401, 'SESSION_REVOKED');
      expect((await postTicket(target, { token: other })).status).toBe(200);
    }
  });

  test('session.revoke of a user ends all sessions, and takes every token that is older', async () => {
    const token = await mintToken({ userId: 'eve', sessionId: 'eve-1' });
    await using client = await openRaw(there, { token });
    await client.query('health.live');
    expect((await operate(here, 'session.revoke', { userId: 'eve' })).data).toEqual({ disconnected: 1 });
    expect((await client.closed).reason).toBe('SESSION_REVOKED');
    expectRefusal(await postTicket(here, { token }), 401, 'SESSION_REVOKED');
    const later = Math.floor(Date.now() / 1_000) + 2;
    const newer = await mintToken({ userId: 'eve', sessionId: 'eve-2', claims: { iat: later } });
    expect((await postTicket(here, { token: newer })).status).toBe(200);
  });

  test.each([
    ['connection.list', {}],
    ['connection.disconnect', { connectionId: 'x' }],
    ['session.revoke', { userId: 'x' }],
  ])('%s needs scope "admin"', async (path, input) => {
    const send = path === 'connection.list' ? query : mutate;
    const token = await mintToken({ scopes: ['publish'], topics: ['*'] });
    expectRefusal(await send(here, path, input, { token }), 403, 'FORBIDDEN');
    expectRefusal(await send(here, path, input), 401, 'UNAUTHORIZED');
  });

  test('session.revoke without a user and a session is BAD_REQUEST', async () => {
    expectRefusal(await operate(here, 'session.revoke', {}), 400, 'BAD_REQUEST');
    expectRefusal(await operate(here, 'connection.disconnect', {}), 400, 'BAD_REQUEST');
  });

  test('ten connections of a user are served over all instances, the eleventh is refused with a time to come back', async () => {
    const token = await mintToken({ userId: 'many' });
    const clients = await Promise.all(
      Array.from({ length: 10 }, (_, at) => openRaw(at % 2 === 0 ? here : there, { token })),
    );
    const refused = await tryUpgrade(here, '/trpc', { token });
    const refusal = expectRefusal(refused, 429, 'CONNECTION_LIMIT');
    expect(refusal.retryAfterMs).toBeGreaterThan(0);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    await clients[0]?.close();
    await eventually(async () => (await tryUpgrade(there, '/trpc', { token })).status === 101, {
      what: 'a free place',
    });
    await Promise.all(clients.map((client) => client.close()));
  });
});
