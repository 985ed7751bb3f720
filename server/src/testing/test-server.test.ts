import { expect, test } from 'bun:test';
import { openSocket, type TestSocket } from '../transport/test-socket.ts';
import { startTestServer, type TestServer } from './index.ts';

const subscribe = {
  id: 1,
  method: 'subscription',
  params: { path: 'topic.subscribe', input: { topic: 'public:kit' } },
};

const follow = async (server: TestServer): Promise<TestSocket> => {
  const socket = openSocket(`${server.url}/trpc?ticket=${await server.ticket()}`);
  await socket.opened;
  socket.send(subscribe);
  await nextItem(socket, 'snapshot');
  return socket;
};

/** The next item of this type; whatever comes before it is passed over. */
async function nextItem(socket: TestSocket, type: string): Promise<Record<string, unknown>> {
  for (;;) {
    const frame = (await socket.next()) as { result?: { data?: { data?: Record<string, unknown> } } };
    const item = frame.result?.data?.data;
    if (item?.type === type) return item;
  }
}

test('dropConnections() ends every connection, and the server goes on', async () => {
  await using server = await startTestServer();
  const socket = await follow(server);
  server.faults.dropConnections();
  expect((await socket.closed).code).toBe(1006);
  await using another = await follow(server);
  await server.publish('public:kit', { name: 'after' });
  expect(await nextItem(another, 'event')).toMatchObject({ event: { name: 'after' } });
});

test('freeze() keeps everything back until thaw()', async () => {
  await using server = await startTestServer();
  await using socket = await follow(server);
  server.faults.freeze();
  await server.publish('public:kit', { name: 'late' });
  let answered = false;
  const health = fetch(`${server.url}/healthz`).then(() => {
    answered = true;
  });
  // What passes at all passes within this: the same call, straight to the server, has its answer.
  await fetch(`${server.server.url}/healthz`);
  expect(answered).toBe(false);
  server.faults.thaw();
  await health;
  expect(await nextItem(socket, 'event')).toMatchObject({ event: { name: 'late' } });
});

test('refuseTickets() refuses with the code asked for, until it is told not to', async () => {
  await using server = await startTestServer();
  const headers = { authorization: `Bearer ${await server.token()}` };
  const ask = () => fetch(`${server.url}/ws-ticket`, { method: 'POST', headers });
  server.faults.refuseTickets('MISSING_SESSION');
  const refused = await ask();
  expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([401, 'MISSING_SESSION']);
  server.faults.refuseTickets(null);
  expect((await ask()).status).toBe(200);
});

test('redisAway() degrades who listens, and restores them', async () => {
  await using server = await startTestServer();
  await using socket = await follow(server);
  server.faults.redisAway(true);
  await nextItem(socket, 'degraded');
  await expect(server.publish('public:kit', { name: 'refused' })).rejects.toMatchObject({ reason: 'REDIS_NOT_READY' });
  server.faults.redisAway(false);
  await nextItem(socket, 'restored');
});

test('loseLogs() resets who listens', async () => {
  await using server = await startTestServer();
  await using socket = await follow(server);
  await server.publish('public:kit', { name: 'lost' });
  await nextItem(socket, 'event');
  server.faults.loseLogs();
  expect(await nextItem(socket, 'reset')).toMatchObject({ reason: 'unknown', events: [] });
});

test('a wrong variable is told by its name', async () => {
  await expect(startTestServer({ env: { TOPIC_MAX_EVENTS: 'many' } })).rejects.toThrow('TOPIC_MAX_EVENTS');
});
