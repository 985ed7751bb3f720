import { expect, setDefaultTimeout, test } from 'bun:test';
import { mutate } from '../harness/http.ts';
import { freePort } from '../harness/port.ts';
import { startProxy } from '../harness/proxy.ts';
import { startRedis } from '../harness/redis.ts';
import { startServer } from '../harness/server.ts';
import { adminToken, mintToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import {
  begun,
  clean,
  compare,
  logOf,
  readerToken,
  socketThrough,
  startCaller,
  startTraffic,
  witness,
} from './scene.ts';

setDefaultTimeout(60_000);

const id = () => crypto.randomUUID().slice(0, 8);

test('a server killed and started 20 times under traffic costs neither an event nor a subscription', async () => {
  await using redis = await startRedis();
  const port = await freePort();
  const env = {
    REDIS_URL: redis.url,
    PORT: String(port),
    TOPIC_MAX_EVENTS: '50000',
    MAX_CONNECTIONS_PER_USER: '100',
    TICKETS_PER_MINUTE: '600',
  };
  let server = await startServer({ env });
  await using caller = startCaller({ url: server.url, token: readerToken });
  const topic = id();
  const subscribers = [witness(caller.usher, topic), witness(caller.usher, topic), witness(caller.usher, topic)];
  await caller.until('live');
  await begun(...subscribers);
  const traffic = startTraffic(server.url, topic, 20);
  for (let n = 0; n < 20; n += 1) {
    const before = subscribers[0]!.seen.length;
    await eventually(() => subscribers.every(({ seen }) => seen.length > before + 5), { timeoutMs: 25_000 });
    await server.kill();
    // Every other time it stays away for long enough that the client polls.
    if (n % 2 === 1) await eventually(() => caller.usher.state.status === 'polling');
    server = await startServer({ env });
  }
  await caller.until('live');
  const published = await traffic.stop();
  const log = await logOf(server, topic);
  await eventually(() => subscribers.every(({ seen }) => seen.at(-1)?.position === log.at(-1)?.position));
  expect(log).toHaveLength(published);
  for (const { seen, resets, errors } of subscribers) {
    expect([compare(log, seen), seen.length, resets, errors]).toEqual([clean, published, [], []]);
  }
  await server.kill();
}, 120_000);

for (const lateMs of [100, 600, 1_500, 5_000]) {
  test(`Redis ${lateMs} ms late at boot: the client ends up live, and polls meanwhile if it takes too long`, async () => {
    await using redis = await startRedis();
    await redis.stop();
    await using server = await startServer({ env: { REDIS_URL: redis.url } });
    await using caller = startCaller({
      url: server.url,
      token: readerToken,
      ticket: { retryDelaysMs: [200, 500, 1_000] },
      fallback: { afterMs: 60_000 },
    });
    const subscriber = witness(caller.usher, id());
    await new Promise((resolve) => setTimeout(resolve, lateMs));
    await redis.start();
    await caller.until('live');
    await eventually(() => subscriber.items.length > 0);
    expect(subscriber.errors).toEqual([]);
    const hard = '[WS] Hard failure - Redis not ready';
    const fell =
      '[WS] Ticket request failed: 503 SERVICE_UNAVAILABLE (Redis not ready after retries) - falling back to polling-only mode';
    const count = (wanted: string) => caller.logged.filter(([, message]) => message === wanted).length;
    const polled = caller.told.some((line) => line.startsWith('fallback'));
    if (lateMs === 5_000) expect(polled).toBe(true);
    expect([count(hard), count(fell), count('[WS] Connected')]).toEqual(polled ? [1, 1, 1] : [0, 0, 1]);
  });
}

test('a Redis that comes and goes is told and survived, with no event lost', async () => {
  await using redis = await startRedis({ persist: true });
  await using server = await startServer({ env: { REDIS_URL: redis.url } });
  await using caller = startCaller({ url: server.url, token: readerToken });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  const traffic = startTraffic(server.url, topic);
  for (let n = 0; n < 4; n += 1) {
    const before = subscriber.seen.length;
    await eventually(() => subscriber.seen.length > before + 10, { timeoutMs: 25_000 });
    await redis.kill();
    await eventually(() => subscriber.items.at(-1) === 'degraded', { what: 'degraded' });
    await redis.start();
  }
  const published = await traffic.stop();
  const log = await logOf(server, topic);
  await eventually(() => subscriber.seen.at(-1)?.position === log.at(-1)?.position);
  expect(log).toHaveLength(published);
  if (subscriber.resets.length === 0) expect(compare(log, subscriber.seen)).toEqual(clean);
  expect(subscriber.errors).toEqual([]);
});

test('a proxy that accepts and says nothing is left for polling, and found out when it wakes', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server.port);
  proxy.blackhole('down');
  await using caller = startCaller({
    url: server.url,
    token: readerToken,
    WebSocket: socketThrough(proxy),
    heartbeat: { openTimeoutMs: 300 },
  });
  const subscriber = witness(caller.usher, id());
  await caller.until('polling');
  await eventually(() => subscriber.items[0] === 'snapshot');
  proxy.pass();
  await caller.until('live');
});

test('a connection that dies without a word is found by the heartbeat', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server.port);
  await using caller = startCaller({
    url: server.url,
    token: readerToken,
    WebSocket: socketThrough(proxy),
    heartbeat: { intervalMs: 200, pongTimeoutMs: 200, openTimeoutMs: 500 },
  });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  proxy.blackhole();
  await eventually(() => caller.told.includes('disconnect TIMEOUT'));
  proxy.drop();
  proxy.pass();
  await caller.until('live');
  const traffic = startTraffic(server.url, topic);
  await eventually(() => subscriber.seen.length > 10);
  await traffic.stop();
});

test('a proxy that cuts after n bytes, wherever that is, costs no event', async () => {
  await using server = await startServer({ env: { TOPIC_MAX_EVENTS: '20000' } });
  await using proxy = await startProxy(server.port);
  await using caller = startCaller({ url: server.url, token: readerToken, WebSocket: socketThrough(proxy) });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  const traffic = startTraffic(server.url, topic, 5);
  for (const bytes of [1, 2, 50, 129, 130, 200, 333, 517, 1_024, 3_000]) {
    const before = caller.told.length;
    const seen = subscriber.seen.length;
    proxy.cutAfter(bytes);
    await eventually(() => caller.told.length > before, { what: `a cut after ${bytes} bytes` });
    await caller.until('live');
    await eventually(() => subscriber.seen.length > seen + 5);
  }
  const published = await traffic.stop();
  await eventually(() => subscriber.seen.length >= published);
  expect([compare(await logOf(server, topic), subscriber.seen), subscriber.seen.length]).toEqual([clean, published]);
  expect(subscriber.resets).toEqual([]);
});

test('a token that is refused is exchanged once and then the client closes, and asks for nothing more', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server.port);
  let asked = 0;
  await using caller = startCaller({
    url: `http://127.0.0.1:${proxy.port}`,
    token: () => `not a token ${++asked}`,
  });
  const subscriber = witness(caller.usher, id());
  await caller.until('closed');
  expect(caller.usher.state).toMatchObject({ status: 'closed', reason: 'UNAUTHORIZED' });
  await eventually(() => subscriber.errors[0] === 'UNAUTHORIZED');
  expect(asked).toBe(2);
  const { accepted, bytesUp } = proxy.counts();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(proxy.counts()).toMatchObject({ accepted, bytesUp });
});

test('a token without a session closes the client at once', async () => {
  await using server = await startServer();
  let asked = 0;
  await using caller = startCaller({
    url: server.url,
    token: () => {
      asked += 1;
      return mintToken({ sessionId: null });
    },
  });
  witness(caller.usher, id());
  await caller.until('closed');
  expect(caller.told).toEqual(['close MISSING_SESSION']);
  expect(asked).toBe(1);
});

test('a session that is revoked comes back with another token, and without a gap', async () => {
  await using server = await startServer();
  let session = 0;
  await using caller = startCaller({
    url: server.url,
    token: ({ refused }) => {
      if (refused) session += 1;
      return mintToken({ userId: 'reader', sessionId: `s${session}`, topics: ['*'] });
    },
  });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  const traffic = startTraffic(server.url, topic);
  await eventually(() => subscriber.seen.length > 20);
  await mutate(server, 'session.revoke', { sessionId: 's0' }, { token: await adminToken() });
  await eventually(() => caller.told.includes('disconnect SESSION_REVOKED'));
  await caller.until('live');
  const published = await traffic.stop();
  await eventually(() => subscriber.seen.length >= published);
  expect(compare(await logOf(server, topic), subscriber.seen)).toEqual(clean);
  expect(session).toBe(1);
});
