import { expect, setDefaultTimeout, test } from 'bun:test';
import { startRedis } from '../harness/redis.ts';
import { startServer } from '../harness/server.ts';
import { mintToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { begun, clean, compare, logOf, readerToken, startCaller, startTraffic, witness } from './scene.ts';

setDefaultTimeout(60_000);

const id = () => crypto.randomUUID().slice(0, 8);

/** The platform's WebSocket, counted, each going to the server that is in use when it is made. */
function countedSockets(target: () => { readonly port: number }) {
  const made: WebSocket[] = [];
  const Socket = class extends WebSocket {
    constructor(given: string | URL) {
      const url = new URL(given);
      url.port = String(target().port);
      super(url);
      made.push(this);
    }
  };
  return { made, Socket };
}

test('a session that ends is renewed over a second connection, again and again, and no subscriber notices', async () => {
  await using server = await startServer();
  const { made, Socket } = countedSockets(() => server);
  await using caller = startCaller({
    url: server.url,
    WebSocket: Socket,
    token: () => mintToken({ userId: 'reader', topics: ['*'], expiresInSeconds: 5 }),
  });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  const traffic = startTraffic(server.url, topic);
  await eventually(() => made.length >= 4, { timeoutMs: 40_000, what: () => `4 connections: ${made.length}` });
  const published = await traffic.stop();
  await eventually(() => subscriber.seen.length >= published);
  expect(compare(await logOf(server, topic), subscriber.seen)).toEqual(clean);
  expect([caller.told, subscriber.resets, subscriber.errors]).toEqual([['connect'], [], []]);
  await eventually(() => made.filter(({ readyState }) => readyState === WebSocket.OPEN).length === 1, {
    what: 'the connections before to be closed',
  });
});

test('a server that drains hands its clients over, and no subscriber notices', async () => {
  await using redis = await startRedis();
  const env = { REDIS_URL: redis.url, DRAIN_TIMEOUT_MS: '8000' };
  await using first = await startServer({ env });
  await using second = await startServer({ env });
  let current = first;
  const { made, Socket } = countedSockets(() => current);
  await using caller = startCaller({
    url: first.url,
    token: readerToken,
    WebSocket: Socket,
    fetch: ((url: string, init: RequestInit) => fetch(url.replace(first.url, current.url), init)) as typeof fetch,
  });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  const traffic = startTraffic(second.url, topic);
  await eventually(() => subscriber.seen.length > 20);
  current = second;
  expect(await first.stop({ timeoutMs: 20_000 })).toBe(0);
  const before = subscriber.seen.length;
  await eventually(() => subscriber.seen.length > before + 20);
  const published = await traffic.stop();
  await eventually(() => subscriber.seen.length >= published);
  expect(compare(await logOf(second, topic), subscriber.seen)).toEqual(clean);
  expect([caller.told, made.length, subscriber.resets]).toEqual([['connect'], 2, []]);
});

test('reauthenticate() moves to a second connection with a new token', async () => {
  await using server = await startServer();
  const { made, Socket } = countedSockets(() => server);
  let asked = 0;
  await using caller = startCaller({
    url: server.url,
    WebSocket: Socket,
    token: () => {
      asked += 1;
      return readerToken();
    },
  });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  const traffic = startTraffic(server.url, topic);
  await eventually(() => subscriber.seen.length > 20);
  caller.usher.reauthenticate();
  await eventually(() => made.length === 2 && made[0]?.readyState === WebSocket.CLOSED);
  const published = await traffic.stop();
  await eventually(() => subscriber.seen.length >= published);
  expect(compare(await logOf(server, topic), subscriber.seen)).toEqual(clean);
  expect([caller.told, asked]).toEqual([['connect'], 2]);
});
