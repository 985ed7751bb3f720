import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { ConnectionInfo, PollAnswer } from '@usher/contracts';
import { get, issueTicket, mutate, postTicket, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { type Server, startServer } from '../harness/server.ts';
import { adminToken, mintToken, publisherToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually, within } from '../harness/wait.ts';

/** What an operator does reaches every instance within this time; the wire promises it. */
const soonMs = 1_000;

let redis: Redis;
let one: Server;
let two: Server;
let admin: string;
beforeAll(async () => {
  redis = await startRedis();
  [one, two] = await Promise.all([
    startServer({ env: { REDIS_URL: redis.url } }),
    startServer({ env: { REDIS_URL: redis.url } }),
  ]);
  admin = await adminToken();
  await eventually(async () =>
    (await Promise.all([one, two].map((it) => get(it, '/readyz')))).every((it) => it.status === 200),
  );
});
afterAll(async () => {
  await Promise.all([one?.kill(), two?.kill()]);
  await redis?.[Symbol.asyncDispose]();
});

const list = async (input?: object): Promise<readonly ConnectionInfo[]> => {
  const answer = await query<{ connections: ConnectionInfo[] }>(one, 'connection.list', input, { token: admin });
  return answer.data?.connections ?? [];
};

const audited = (server: Server, action: string) => server.log((line) => line.audit === true && line.action === action);

test('connection.list shows the connections of every instance, by user and by session', async () => {
  const token = await mintToken({ userId: 'lia', sessionId: 'lia-1' });
  await using here = await openRaw(one, { token });
  await using there = await openRaw(two, { token });
  await using other = await openRaw(two, { token: await mintToken({ userId: 'lia', sessionId: 'lia-2' }) });
  const connections = await list({ userId: 'lia' });
  expect(connections.map(({ sessionId }) => sessionId)).toEqual(['lia-1', 'lia-1', 'lia-2']);
  expect(new Set(connections.map(({ instanceId }) => instanceId)).size).toBe(2);
  expect(connections).toEqual(
    connections.map((it) => ({ ...it, userId: 'lia', address: '127.0.0.1', since: expect.any(Number) })),
  );
  expect(await list({ sessionId: 'lia-2' })).toHaveLength(1);
  expect([here, there, other].every((client) => client.isOpen())).toBe(true);
});

test('connection.disconnect ends one connection on another instance, and says so in the log', async () => {
  const token = await mintToken({ userId: 'dan' });
  await using kept = await openRaw(two, { token });
  const [first] = await list({ userId: 'dan' });
  await using gone = await openRaw(two, { token });
  const target = (await list({ userId: 'dan' })).find(({ connectionId }) => connectionId !== first?.connectionId);
  const input = { connectionId: target?.connectionId };
  expect((await mutate(one, 'connection.disconnect', input, { token: admin })).data).toEqual({ disconnected: 1 });
  // 1012: nothing is wrong with its token, and a client of ours comes back.
  expect(await within(gone.closed, { timeoutMs: soonMs })).toMatchObject({ code: 1012 });
  expect(kept.isOpen()).toBe(true);
  expect(await audited(one, 'connection.disconnect')).toMatchObject({
    ...input,
    disconnected: 1,
    actor: { userId: 'operator' },
  });
  expect((await mutate(one, 'connection.disconnect', input, { token: admin })).data).toEqual({ disconnected: 0 });
});

test('session.revoke ends connections, waiting polls and tickets already issued, on every instance', async () => {
  const token = await mintToken({ userId: 'eve', sessionId: 'eve-1', topics: ['job:*'] });
  const otherSession = await mintToken({ userId: 'eve', sessionId: 'eve-2' });
  await mutate(one, 'topic.create', { topic: 'job:1' }, { token: await publisherToken() });
  await using here = await openRaw(one, { token });
  await using there = await openRaw(two, { token });
  await using stays = await openRaw(two, { token: otherSession });
  const tickets = [await issueTicket(one, token), await issueTicket(two, token)];
  const { data } = await query<PollAnswer>(two, 'topic.poll', { topic: 'job:1' }, { token });
  const input = { topic: 'job:1', lastEventId: data?.lastEventId, waitMs: 25_000 };
  const poll = query<PollAnswer>(two, 'topic.poll', input, { token });
  await eventually(async () => (await get(two, '/metrics')).text.includes('usher_topics 1'));

  expect((await mutate(one, 'session.revoke', { sessionId: 'eve-1' }, { token: admin })).data).toEqual({
    disconnected: 2,
  });
  for (const { closed } of [here, there]) {
    expect(await within(closed, { timeoutMs: soonMs })).toEqual({ code: 1008, reason: 'SESSION_REVOKED' });
  }
  for (const [at, ticket] of tickets.entries()) {
    const server = at === 0 ? two : one;
    expectRefusal(await tryUpgrade(server, `/trpc?ticket=${ticket}`), 401, 'SESSION_REVOKED');
  }
  expectRefusal(await within(poll, { timeoutMs: soonMs, what: 'the poll to end' }), 401, 'SESSION_REVOKED');
  for (const server of [one, two]) expectRefusal(await postTicket(server, { token }), 401, 'SESSION_REVOKED');
  expect(stays.isOpen(), 'another session of the same user').toBe(true);
  expect((await postTicket(two, { token: otherSession })).status).toBe(200);
  expect(await audited(one, 'session.revoke')).toMatchObject({ sessionId: 'eve-1', actor: { userId: 'operator' } });
});

test('session.revoke of a user ends what was signed before, and a later login is served', async () => {
  const before = await mintToken({ userId: 'bob', sessionId: 'bob-1' });
  await using there = await openRaw(two, { token: before });
  expect((await mutate(one, 'session.revoke', { userId: 'bob' }, { token: admin })).data).toEqual({ disconnected: 1 });
  expect(await within(there.closed, { timeoutMs: soonMs })).toMatchObject({ reason: 'SESSION_REVOKED' });
  for (const server of [one, two]) expectRefusal(await postTicket(server, { token: before }), 401, 'SESSION_REVOKED');
  // The claim counts whole seconds: a login of the same second cannot be told from one before.
  const later = await mintToken({
    userId: 'bob',
    sessionId: 'bob-2',
    claims: { iat: Math.ceil(Date.now() / 1_000) + 1 },
  });
  await using again = await openRaw(two, { token: later });
  expect(again.isOpen()).toBe(true);
});

test('what operators may do is refused to everybody else', async () => {
  const token = await publisherToken();
  expectRefusal(await query(one, 'connection.list', undefined, { token }), 403, 'FORBIDDEN');
  expectRefusal(await mutate(one, 'connection.disconnect', { connectionId: 'x' }, { token }), 403, 'FORBIDDEN');
  expectRefusal(await mutate(one, 'session.revoke', { userId: 'eve' }, { token }), 403, 'FORBIDDEN');
});
