import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { issueTicket, mutate, through } from '../harness/http.ts';
import { startProxy } from '../harness/proxy.ts';
import { openRaw } from '../harness/raw-client.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import { type Server, startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';

setDefaultTimeout(120_000);

const limitBytes = 1_048_576;
let redis: Redis;
let server: Server;
let token: string;
beforeAll(async () => {
  redis = await startRedis();
  server = await startServer({
    env: {
      REDIS_URL: redis.url,
      BACKPRESSURE_LIMIT_BYTES: String(limitBytes),
      WRITE_TIMEOUT_MS: '3000',
      PUBLISHES_PER_SECOND: '1000000',
    },
  });
  token = await publisherToken();
  await eventually(async () => (await fetch(`${server.url}/readyz`)).ok);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

/** Publishes events of 60 kB, ten in a call; gives the first position. */
async function publish(topic: string, from: number, count: number): Promise<string> {
  let first = '';
  for (let at = 0; at < count; at += 10) {
    const events = Array.from({ length: Math.min(10, count - at) }, (_, n) => ({
      name: 'e',
      data: { n: from + at + n, text: 'x'.repeat(60_000) },
    }));
    const answer = await mutate<{ positions: string[] }>(server, 'topic.publishMany', { topic, events }, { token });
    expect(answer.error).toBeUndefined();
    first ||= answer.data?.positions[0] ?? '';
  }
  return first;
}

const metric = async (name: string): Promise<number> => {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const values = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
};
const numberOf = (data: unknown): number => (data as { n: number }).n;
const upTo = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

test('a healthy reader that catches up on a thousand events of 60 kB gets them all', async () => {
  const lastEventId = await publish('public:catch-up', 0, 1_000);
  await using client = await openRaw(server, { token });
  const subscription = client.subscribe({ topic: 'public:catch-up' }, { lastEventId });
  await eventually(() => subscription.events.length === 999, {
    timeoutMs: 60_000,
    what: () => `${subscription.events.length} events`,
  });
  expect(subscription.items[0]?.item).toEqual({ type: 'resumed', replayed: 999 });
  expect(subscription.events.map(({ data }) => numberOf(data))).toEqual(upTo(1, 999));
  await publish('public:catch-up', 1_000, 1);
  await eventually(() => subscription.events.length === 1_000);
});

test('ninety topics that are caught up on at once over one connection with latency all arrive', async () => {
  const topics = upTo(1, 90).map((n) => `public:at-once-${n}`);
  const positions = await Promise.all(topics.map((topic) => publish(topic, 0, 20)));
  await using proxy = await startProxy(server.port);
  // Without latency the kernel takes what is too much at once.
  proxy.delay(30, 'down');
  await using client = await openRaw(through(proxy), { ticket: await issueTicket(server, token) });
  const subscriptions = topics.map((topic, n) => client.subscribe({ topic }, { lastEventId: positions[n] as string }));
  await eventually(() => subscriptions.every(({ events }) => events.length === 19), {
    timeoutMs: 60_000,
    what: () => subscriptions.map(({ events, end }) => `${events.length}${end ? JSON.stringify(end) : ''}`).join(' '),
  });
  for (const { events } of subscriptions) expect(events.map(({ data }) => numberOf(data))).toEqual(upTo(1, 19));
});

test('a reader that is stuck is cut, costs the others nothing, and goes on from where it was', async () => {
  const topic = 'public:stuck';
  await using proxy = await startProxy(server.port);
  await using stuck = await openRaw(through(proxy), { ticket: await issueTicket(server, token) });
  await using healthy = await openRaw(server, { token });
  const [its, others] = [stuck.subscribe({ topic }), healthy.subscribe({ topic })];
  await Promise.all([its.next(), others.next()]);
  await publish(topic, 0, 1);
  const { id } = await its.until(({ type }) => type === 'event');
  proxy.blackhole('down');
  // The proxy and the kernel hold some megabytes before the server feels it.
  let n = 1;
  for (; (await metric('usher_connections')) === 2 && n < 900; n += 10) await publish(topic, n, 10);
  expect(await metric('usher_connections')).toBe(1);
  await eventually(() => others.events.length === n);
  expect(others.events.map(({ data }) => numberOf(data))).toEqual(upTo(0, n - 1));
  proxy.cut();
  await using back = await openRaw(server, { token });
  const continued = back.subscribe({ topic }, { lastEventId: id });
  expect((await continued.next()).item).toMatchObject({ type: 'resumed', replayed: n - 1 });
  await eventually(() => continued.events.length === n - 1, { timeoutMs: 60_000 });
});

test('a reader that stops reading in the middle of its replay is cut after the write timeout', async () => {
  const lastEventId = await publish('public:stops', 0, 200);
  const cutBefore = await metric('usher_slow_consumers_total');
  const before = await metric('usher_connections');
  const socket = await upgradeByHand(await issueTicket(server, token));
  const call = {
    id: 1,
    method: 'subscription',
    params: { path: 'topic.subscribe', input: { topic: 'public:stops' }, lastEventId },
  };
  socket.write(textFrame(JSON.stringify(call)));
  await eventually(async () => (await metric('usher_slow_consumers_total')) === cutBefore + 1, { timeoutMs: 30_000 });
  await eventually(async () => (await metric('usher_connections')) === before);
  expect(await metric('usher_subscriptions')).toBe(0);
  socket.destroy();
});

/** A WebSocket whose bytes nobody reads. */
async function upgradeByHand(ticket: string): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1');
  const key = Buffer.from('0123456789abcdef').toString('base64');
  const head = [
    `GET /trpc?ticket=${ticket} HTTP/1.1`,
    `Host: 127.0.0.1:${server.port}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    'Sec-WebSocket-Version: 13',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('data', (chunk) => (String(chunk).includes('101') ? resolve() : reject(new Error(String(chunk)))));
  });
  socket.pause();
  return socket;
}

/** A masked text frame of up to 65,535 bytes. */
function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  const mask = Buffer.from([1, 2, 3, 4]);
  const head = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([head, mask, payload.map((byte, at) => byte ^ (mask[at % 4] as number))]);
}
