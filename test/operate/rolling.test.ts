import { expect, test } from 'bun:test';
import { createUsher, type Usher } from '@usher/client';
import type { Published } from '@usher/contracts';
import { get, mutate } from '../harness/http.ts';
import { freePort } from '../harness/port.ts';
import { startRedis } from '../harness/redis.ts';
import { type Server, startServer } from '../harness/server.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { startBalancer } from './balancer.ts';
import { startRoamer } from './roamer.ts';

const topics = ['public:one', 'public:two'];

/** Publishes numbers, one after the other, until it is stopped; one that was not answered is sent again under its key. */
function startPublisher(url: string, token: string, topic: string) {
  let n = 0;
  let unanswered = 0;
  let over = false;
  const publishing = (async () => {
    while (!over) {
      n += 1;
      const input = { topic, event: { name: 'tick', data: { n } }, idempotencyKey: `${topic}-${n}` };
      for (;;) {
        const answer = await mutate<Published>({ url }, 'topic.publish', input, { token }).catch(() => null);
        if (answer?.data) break;
        unanswered += 1;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  return {
    unanswered: () => unanswered,
    stop: async (): Promise<number> => {
      over = true;
      await publishing;
      return n;
    },
  };
}

/** What the typed client shows of a topic. */
function watch(usher: Usher, topic: string) {
  const seen: number[] = [];
  const told: string[] = [];
  const [, id = ''] = topic.split(':');
  usher.topic('public', id).subscribe({
    onItem: (item) => {
      if (item.type === 'event') seen.push((item.event.data as { n: number }).n);
      else told.push(item.type);
    },
  });
  return { seen, told };
}

test('a rolling restart behind a balancer that is not sticky loses nothing and leaves nobody unconnected', async () => {
  await using redis = await startRedis();
  const ports = [await freePort(), await freePort()] as const;
  const start = (port: number): Promise<Server> =>
    startServer({
      env: {
        REDIS_URL: redis.url,
        PORT: String(port),
        TRUST_PROXY: 'true',
        DRAIN_TIMEOUT_MS: '8000',
        MAX_CONNECTIONS_PER_USER: '100',
        TICKETS_PER_MINUTE: '1000',
      },
    });
  const servers = [await start(ports[0]), await start(ports[1])];
  await using disposables = new AsyncDisposableStack();
  disposables.defer(async () => void (await Promise.all(servers.map((server) => server.kill()))));
  const balancer = disposables.use(await startBalancer(ports));
  await balancer.hasUp(2);
  const token = await mintToken();
  const worker = await publisherToken();

  const roamers = Array.from({ length: 20 }, (_, at) =>
    disposables.use(startRoamer(balancer, token, topics[at % 2] ?? '')),
  );
  const ushers = Array.from({ length: 10 }, () => disposables.use(createUsher({ url: balancer.url, token })));
  const views = ushers.map((usher, at) => watch(usher, topics[at % 2] ?? ''));
  const subscribers = [...roamers, ...views];
  await eventually(() => subscribers.every(({ told }) => told.includes('snapshot')));

  const publishers = topics.map((topic) => startPublisher(balancer.url, worker, topic));
  disposables.defer(async () => void (await Promise.all(publishers.map((publisher) => publisher.stop()))));
  for (const [at, port] of ports.entries()) {
    const before = subscribers.map(({ seen }) => seen.length);
    await eventually(() => subscribers.every(({ seen }, index) => seen.length > (before[index] ?? 0) + 20));
    expect(await servers[at]?.stop({ timeoutMs: 20_000 })).toBe(0);
    expect(
      servers[at]?.logs().findLast(({ msg }) => msg === 'drained'),
      'everybody has left by himself',
    ).toMatchObject({
      ended: 0,
    });
    servers[at] = await start(port);
    await balancer.hasUp(2);
  }
  const published = await Promise.all(publishers.map((publisher) => publisher.stop()));

  expect(publishers.map(({ unanswered }) => unanswered())).toEqual([0, 0]);

  // The last event reaches everybody: whoever is unconnected never sees it.
  for (const [at, { seen, told }] of [...subscribers.entries()]) {
    const last = published[at % 2] ?? 0;
    await eventually(() => seen.at(-1) === last, { what: () => `${last} as the last of ${seen.slice(-5)}; ${told}` });
    expect(seen).toEqual(Array.from({ length: last }, (_, index) => index + 1));
    expect(told.filter((type) => !['snapshot', 'resumed'].includes(type))).toEqual([]);
  }
  expect(roamers.every((roamer) => roamer.isConnected())).toBe(true);
  expect(ushers.map(({ state }) => state.status)).toEqual(ushers.map(() => 'live'));
  // One connection each, and none that was left behind.
  await eventually(async () => {
    const counts = await Promise.all(
      servers.map(async (server) => {
        const { text } = await get(server, '/metrics');
        return Number(/^usher_connections (\d+)/m.exec(text)?.[1]);
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0) === subscribers.length;
  });
}, 90_000);
