import { expect, setDefaultTimeout, test } from 'bun:test';
import { startProxy } from '../harness/proxy.ts';
import { startRedis } from '../harness/redis.ts';
import { startServer } from '../harness/server.ts';
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

test('with events flowing, the client falls back and returns again and again, with no gap and no double', async () => {
  await using redis = await startRedis();
  await using server = await startServer({ env: { REDIS_URL: redis.url, TOPIC_MAX_EVENTS: '20000' } });
  await using proxy = await startProxy(server.port);
  await using caller = startCaller({ url: server.url, token: readerToken, WebSocket: socketThrough(proxy) });
  const topic = id();
  const subscribers = [witness(caller.usher, topic), witness(caller.usher, topic)];
  await caller.until('live');
  await begun(...subscribers);
  const traffic = startTraffic(server.url, topic);
  await eventually(() => subscribers.every(({ seen }) => seen.length > 10));
  const dead = () => {
    proxy.blackhole();
    proxy.drop();
  };
  for (const fault of [proxy.cut, dead, proxy.cut, dead]) {
    const before = subscribers[0]!.seen.length;
    fault();
    await caller.until('polling');
    await eventually(() => subscribers.every(({ seen }) => seen.length > before + 30));
    proxy.pass();
    await caller.until('live');
    const live = subscribers[0]!.seen.length;
    await eventually(() => subscribers.every(({ seen }) => seen.length > live + 30));
  }
  const published = await traffic.stop();
  const log = await logOf(server, topic);
  await eventually(() => subscribers.every(({ seen }) => seen.at(-1)?.position === log.at(-1)?.position));
  expect(log).toHaveLength(published);
  expect(traffic.failures).toEqual([]);
  for (const { seen, resets, errors } of subscribers) {
    expect([compare(log, seen), seen.length, resets, errors]).toEqual([clean, published, [], []]);
  }
  expect(caller.told.filter((line) => line.startsWith('fallback'))).toHaveLength(4);
  expect(caller.told.filter((line) => line === 'restore')).toHaveLength(4);
});

test('restore: false stays on polling, and nothing is missed there', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server.port);
  await using caller = startCaller({
    url: server.url,
    token: readerToken,
    WebSocket: socketThrough(proxy),
    fallback: { afterMs: 300, restore: false },
  });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  const traffic = startTraffic(server.url, topic);
  proxy.cut();
  await caller.until('polling');
  proxy.pass();
  const before = subscriber.seen.length;
  await eventually(() => subscriber.seen.length > before + 100);
  expect(caller.usher.state.status).toBe('polling');
  await traffic.stop();
  const log = await logOf(server, topic);
  await eventually(() => subscriber.seen.length >= log.length);
  expect(compare(log, subscriber.seen)).toEqual(clean);
});

test('a client that never had a WebSocket reads by polling alone, from the snapshot on', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server.port);
  proxy.cut();
  await using caller = startCaller({ url: server.url, token: readerToken, WebSocket: socketThrough(proxy) });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('polling');
  await eventually(() => subscriber.items[0] === 'snapshot');
  const traffic = startTraffic(server.url, topic);
  await eventually(() => subscriber.seen.length > 50);
  const published = await traffic.stop();
  await eventually(() => subscriber.seen.length === published);
  expect(compare(await logOf(server, topic), subscriber.seen)).toEqual(clean);
  expect(caller.told[0]).toStartWith('fallback');
});

test('while Redis is away the fallback goes on, degraded; when it is back so is the WebSocket', async () => {
  await using redis = await startRedis({ persist: true });
  await using server = await startServer({ env: { REDIS_URL: redis.url } });
  await using proxy = await startProxy(server.port);
  await using caller = startCaller({ url: server.url, token: readerToken, WebSocket: socketThrough(proxy) });
  const topic = id();
  const subscriber = witness(caller.usher, topic);
  await caller.until('live');
  await begun(subscriber);
  const traffic = startTraffic(server.url, topic);
  await eventually(() => subscriber.seen.length > 20);
  await redis.kill();
  proxy.drop();
  await caller.until('polling');
  await eventually(() => subscriber.items.includes('degraded'), { what: 'degraded' });
  expect(caller.logged.filter(([, message]) => message.includes('falling back'))).toHaveLength(1);
  await redis.start();
  await caller.until('live');
  const before = subscriber.seen.length;
  await eventually(() => subscriber.seen.length > before + 20);
  const published = await traffic.stop();
  const log = await logOf(server, topic);
  expect(log).toHaveLength(published);
  await eventually(() => subscriber.seen.at(-1)?.position === log.at(-1)?.position);
  if (subscriber.resets.length === 0) expect(compare(log, subscriber.seen)).toEqual(clean);
  expect(subscriber.errors).toEqual([]);
});
