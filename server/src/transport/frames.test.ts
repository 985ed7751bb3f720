import { expect, test } from 'bun:test';
import { startTestServer, type TestServer } from '../testing/index.ts';
import { openSocket } from './test-socket.ts';

const connect = async (server: TestServer, caller: Parameters<TestServer['ticket']>[0] = {}) => {
  const socket = openSocket(`${server.url}/trpc?ticket=${await server.ticket(caller)}`);
  await socket.opened;
  return socket;
};

const alive = { id: 99, method: 'query', params: { path: 'health.live' } };
const livesOn = async (socket: Awaited<ReturnType<typeof connect>>) => {
  socket.send(alive);
  let answer = await socket.next();
  // After a subscription's error tRPC says that it has stopped.
  if (answer.id !== 99) answer = await socket.next();
  expect(answer).toMatchObject({ id: 99, result: { data: { status: 'ok' } } });
};

test.each([
  ['no JSON', '{"id":1'],
  ['a number', '7'],
  ['null', 'null'],
  ['a string', '"hello"'],
  ['an unknown method', '{"id":1,"method":"dance","params":{"path":"health.live"}}'],
  ['no params', '{"id":1,"method":"query"}'],
  ['a path that is no string', '{"id":1,"method":"query","params":{"path":7}}'],
  ['an id that is an object', '{"id":{},"method":"query","params":{"path":"health.live"}}'],
  ['a wrong jsonrpc', '{"id":1,"jsonrpc":"1.0","method":"query","params":{"path":"health.live"}}'],
  ['no id', '{"method":"query","params":{"path":"health.live"}}'],
  ['a batch with one bad call', '[{"id":1,"method":"dance"}]'],
])('a frame with %s gets BAD_REQUEST with a trace id, and the connection lives on', async (_, frame) => {
  await using server = await startTestServer();
  await using socket = await connect(server);
  socket.sendRaw(frame);
  expect(await socket.next()).toMatchObject({
    id: null,
    error: { data: { reason: 'BAD_REQUEST', traceId: expect.any(String) } },
  });
  await livesOn(socket);
});

test('a binary frame gets BAD_REQUEST, and the connection lives on', async () => {
  await using server = await startTestServer();
  await using socket = await connect(server);
  socket.sendRaw(new Uint8Array([0, 255, 1]));
  expect(await socket.next()).toMatchObject({ id: null, error: { data: { reason: 'BAD_REQUEST' } } });
  await livesOn(socket);
});

test.each([
  ['an unknown procedure', 'query', 'no.such', {}, 'BAD_REQUEST'],
  ['a mutation called as a query', 'query', 'topic.publish', {}, 'BAD_REQUEST'],
  ['a missing input', 'query', 'topic.state', undefined, 'BAD_REQUEST'],
  ['a wrong type', 'query', 'topic.state', { topic: 7 }, 'BAD_REQUEST'],
  ['a topic without a name', 'query', 'topic.state', { topic: ':1' }, 'BAD_REQUEST'],
  ['a topic with a brace', 'query', 'topic.state', { topic: 'job:{1}' }, 'BAD_REQUEST'],
  ['an unknown topic name', 'query', 'topic.state', { topic: 'nosuch:1' }, 'TOPIC_UNKNOWN'],
  ['a topic that is not there', 'query', 'topic.state', { topic: 'job:1' }, 'TOPIC_UNKNOWN'],
  [
    'a malformed position',
    'subscription',
    'topic.subscribe',
    { topic: 'user:test-user', lastEventId: 'x' },
    'BAD_REQUEST',
  ],
  ['an absurd history', 'subscription', 'topic.subscribe', { topic: 'user:test-user', history: 1e9 }, 'BAD_REQUEST'],
  ['an absurd wait', 'query', 'topic.poll', { topic: 'user:test-user', waitMs: 1e9 }, 'BAD_REQUEST'],
  ['another user', 'subscription', 'topic.subscribe', { topic: 'user:somebody' }, 'TOPIC_UNKNOWN'],
  ['no scope', 'mutation', 'topic.publish', { topic: 'job:1', event: { name: 'error', data: {} } }, 'FORBIDDEN'],
  ['no admin scope', 'query', 'connection.list', {}, 'FORBIDDEN'],
])('%s gets its code, and the connection lives on', async (_, method, path, input, reason) => {
  await using server = await startTestServer();
  await using socket = await connect(server);
  socket.send({ id: 5, method, params: { path, input } });
  let answer = await socket.next();
  if ('result' in answer) answer = await socket.next();
  expect(answer).toMatchObject({ id: 5, error: { data: { reason, traceId: expect.any(String) } } });
  expect(JSON.stringify(answer)).not.toContain('stack');
  await livesOn(socket);
});

test('a frame above the limit gets PAYLOAD_TOO_LARGE and a close with 1009', async () => {
  await using server = await startTestServer();
  await using socket = await connect(server);
  socket.sendRaw(`{"id":1,"method":"query","params":{"path":"health.live","input":"${'x'.repeat(1_100_000)}"}}`);
  expect(await socket.next()).toMatchObject({ id: null, error: { data: { reason: 'PAYLOAD_TOO_LARGE' } } });
  expect(await socket.closed).toEqual({ code: 1009, reason: 'PAYLOAD_TOO_LARGE' });
  await using another = await connect(server);
  await livesOn(another);
});

test('a payload above the limit gets PAYLOAD_TOO_LARGE, one below it arrives', async () => {
  await using server = await startTestServer({ env: { MAX_PAYLOAD_BYTES: '1024' } });
  await using socket = await connect(server, { scopes: ['publish'] });
  const publish = (text: string) => ({
    id: 1,
    method: 'mutation',
    params: { path: 'topic.publish', input: { topic: 'public:a', event: { name: 'e', data: { text } } } },
  });
  socket.send(publish('x'.repeat(2_000)));
  expect(await socket.next()).toMatchObject({
    id: 1,
    error: { data: { reason: 'PAYLOAD_TOO_LARGE', httpStatus: 413 } },
  });
  socket.send(publish('x'.repeat(900)));
  expect(await socket.next()).toMatchObject({ id: 1, result: { data: { durable: true } } });
});

test('a subscription more than a connection may hold is refused, the others go on', async () => {
  await using server = await startTestServer({ env: { MAX_SUBSCRIPTIONS_PER_CONNECTION: '2' } });
  await using socket = await connect(server);
  const subscribe = (id: number) => ({
    id,
    method: 'subscription',
    params: { path: 'topic.subscribe', input: { topic: `public:${id}` } },
  });
  socket.send([subscribe(1), subscribe(2), subscribe(3)]);
  const refused = async () => {
    for (;;) {
      const frame = await socket.next();
      if ('error' in frame) return frame;
    }
  };
  expect(await refused()).toMatchObject({ id: 3, error: { data: { reason: 'CONNECTION_LIMIT' } } });
  socket.send({ id: 1, method: 'subscription.stop' });
  while ((await socket.next()).id !== 1);
  await server.publish('public:2', { name: 'e' });
  while (!JSON.stringify(await socket.next()).includes('"name":"e"'));
});

test('the same id twice is refused without harm to the first', async () => {
  await using server = await startTestServer();
  await using socket = await connect(server);
  const subscribe = {
    id: 1,
    method: 'subscription',
    params: { path: 'topic.subscribe', input: { topic: 'public:a' } },
  };
  socket.send([subscribe, subscribe]);
  const seen: unknown[] = [];
  while (!seen.some((frame) => JSON.stringify(frame).includes('snapshot'))) seen.push(await socket.next());
  expect(seen).toContainEqual(expect.objectContaining({ error: expect.objectContaining({ code: -32600 }) }));
  await server.publish('public:a', { name: 'e' });
  expect(await socket.next()).toMatchObject({ id: 1, result: { data: { data: { type: 'event' } } } });
});

test('PING is answered in its place among the frames', async () => {
  await using server = await startTestServer();
  await using socket = await connect(server);
  socket.sendRaw('PING');
  expect(await socket.next()).toEqual({ text: 'PONG' });
});

test('a quiet client is asked, and cut when it does not answer', async () => {
  await using server = await startTestServer({ env: { HEARTBEAT_INTERVAL_MS: '1000', PONG_TIMEOUT_MS: '1000' } });
  await using socket = await connect(server);
  expect(await socket.next()).toEqual({ text: 'PING' });
  expect((await socket.closed).code).toBe(1006);
}, 15_000);

test('a client is asked to renew before its right ends, and closed when it has ended', async () => {
  await using server = await startTestServer();
  await using socket = await connect(server, { expiresInMs: 4_000 });
  expect(await socket.next()).toEqual({ id: null, method: 'reconnect' });
  expect(await socket.next()).toMatchObject({ id: null, error: { data: { reason: 'TOKEN_EXPIRED' } } });
  expect(await socket.closed).toEqual({ code: 1008, reason: 'TOKEN_EXPIRED' });
}, 15_000);
