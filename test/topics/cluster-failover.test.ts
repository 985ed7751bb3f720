import { expect, setDefaultTimeout, test } from 'bun:test';
import { get } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import type { RawSubscription } from '../harness/raw-subscription.ts';
import { startCluster } from '../harness/redis-cluster.ts';
import { type Server, startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { isReady, logged, publish, slotThirds, subscribe, topicsIn, types } from './cluster.fixture.ts';

setDefaultTimeout(60_000);

/** Publishes one number after the other, and keeps what was taken. */
function publishing(server: Server, token: string, topic: string) {
  const statuses = new Set<number>();
  const taken: number[] = [];
  let number = 0;
  let stopped = false;
  const ended = (async () => {
    while (!stopped) {
      number += 1;
      const { status } = await publish(server, token, topic, number, `${topic}-${number}`);
      statuses.add(status);
      if (status === 200) taken.push(number);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return {
    taken,
    statuses,
    end: async () => {
      stopped = true;
      await ended;
    },
  };
}

/** What the log has and the subscriber lacks, or has elsewhere; after a reset, since then. */
const missing = (live: RawSubscription, log: readonly unknown[]): readonly unknown[] => {
  const from = live.items.findLastIndex(({ item }) => item.type === 'reset');
  const seen = live.items.slice(from + 1).flatMap(({ item }) => (item.type === 'event' ? [item.event.data] : []));
  const wanted = from < 0 ? log : log.slice(log.length - seen.length);
  return wanted.filter((data, at) => seen[at] !== data);
};

for (const how of ['killed', 'frozen', 'handed over'] as const) {
  test(`a primary of a cluster is ${how}: its subscribers go on or are told, the others notice nothing`, async () => {
    await using cluster = await startCluster({ primaries: 3, replicas: 1, nodeTimeoutMs: 1_000 });
    const env = { REDIS_URL: cluster.url, LOG_LEVEL: 'debug' };
    await using one = await startServer({ env });
    await using two = await startServer({ env });
    await isReady(one);
    await isReady(two);
    const token = await publisherToken();
    await using client = await openRaw(two, { token });
    const topics = slotThirds.map((third) => topicsIn(third, 'failover', 1)[0] as string);
    const subscribers = await Promise.all(topics.map((topic) => subscribe(client, topic)));
    const [quiet] = topicsIn(slotThirds[0] as [number, number], 'quiet', 1) as [string];
    const idle = await subscribe(client, quiet);
    const publishers = topics.map((topic) => publishing(one, token, topic));
    await Promise.all(subscribers.map((live) => live.until((item) => item.type === 'event')));

    const replica = cluster.replicas[0];
    if (how === 'killed') await cluster.primaries[0]?.kill();
    else if (how === 'frozen') cluster.primaries[0]?.freeze();
    else await replica?.command('CLUSTER', 'FAILOVER');
    await eventually(async () => String(await replica?.command('ROLE')).startsWith('master'), {
      what: 'the replica to take over',
      timeoutMs: 20_000,
    });
    const then = publishers.map(({ taken }) => taken.length);
    await eventually(() => publishers.every(({ taken }, at) => taken.length > (then[at] ?? 0) + 20), {
      what: () => `publishing to go on: ${then}, now ${publishers.map(({ taken }) => taken.length)}`,
      timeoutMs: 20_000,
    });
    await Promise.all(publishers.map((publisher) => publisher.end()));

    for (const [at, topic] of topics.entries()) {
      const live = subscribers[at] as RawSubscription;
      const { taken, statuses } = publishers[at] as (typeof publishers)[number];
      const log = await logged(one, token, topic);
      expect([...statuses].filter((status) => status !== 200 && status !== 503)).toEqual([]);
      await eventually(() => live.events.at(-1)?.data === log.at(-1), {
        what: () => `the last of ${topic}: ${live.events.length} of ${log.length}, ${types(live).slice(-5)}`,
      });
      expect(missing(live, log)).toEqual([]);
      // What a killed primary had taken and not passed on is gone, and told; what was refused may be there.
      if (types(live).includes('reset')) expect([at, how === 'handed over']).toEqual([0, false]);
      else expect(taken.filter((number) => !log.includes(number))).toEqual([]);
      if (at > 0) expect(types(live).filter((type) => type !== 'event')).toEqual(['snapshot']);
    }
    // Its subscription has followed: it hears the next event, not the next look at its tail in 40 s.
    expect((await publish(one, token, quiet, 'first')).status).toBe(200);
    await idle.until((item) => item.type === 'event');
    // A frozen one is found so late that its replica may be there before anybody had to be told.
    if (how === 'killed') expect(types(idle)).toEqual(['snapshot', 'degraded', 'restored', 'event']);
    await isReady(one);
    await isReady(two);
    for (const server of [one, two]) {
      // One primary's line was opened anew; the whole was not, which would have been everybody's interruption.
      const whole = server
        .logs()
        .filter(({ msg, line }) => msg === '[Redis] away' && !String(line).startsWith('cluster'));
      expect(whole).toEqual([]);
      expect(server.logs().filter(({ msg }) => msg.includes('probe did not come back'))).toEqual([]);
      expect(server.logs().filter(({ level }) => level === 'error')).toEqual([]);
      expect(server.lines.filter((line) => /CROSSSLOT|unhandled/i.test(line))).toEqual([]);
    }
  });
}

test('a replica in a cluster lacks acknowledged events when it takes over: connected and resuming readers are told', async () => {
  await using cluster = await startCluster({ primaries: 3, replicas: 1, nodeTimeoutMs: 1_000 });
  await using server = await startServer({ env: { REDIS_URL: cluster.url, LOG_LEVEL: 'debug' } });
  await isReady(server);
  const token = await publisherToken();
  await using client = await openRaw(server, { token });
  const [topic, other] = topicsIn(slotThirds[1] as [number, number], 'lags', 2) as [string, string];
  const live = await subscribe(client, topic);
  const whole = await subscribe(client, other);
  const [primary, replica] = [cluster.primaries[1], cluster.replicas[1]];
  for (const name of [topic, other]) expect((await publish(server, token, name, 'kept')).status).toBe(200);
  await eventually(async () => Number(await replica?.command('DBSIZE')) === Number(await primary?.command('DBSIZE')), {
    what: 'the replica to be in step',
  });
  // Who is connected stays so; the replica, which has no password, does not come back.
  await primary?.command('CONFIG', 'SET', 'requirepass', 'nobody-knows');
  await replica?.command('CLIENT', 'KILL', 'TYPE', 'master');
  const vanished = await publish(server, token, topic, 'vanishes');
  expect(vanished.status).toBe(200);
  await live.until((item) => item.type === 'event' && item.event.data === 'vanishes');
  await primary?.kill();

  expect((await live.until(({ type }) => type === 'reset', { timeoutMs: 25_000 })).item).toMatchObject({
    reason: 'unknown',
  });
  await whole.until(({ type }) => type === 'restored');
  expect(types(whole)).toEqual(['snapshot', 'event', 'degraded', 'restored']);
  const resumed = await subscribe(client, topic, vanished.data?.position);
  expect(types(resumed)).toEqual(['reset']);
  expect(await logged(server, token, topic)).toEqual(['kept']);
});

test('a cluster that goes as a whole is away, and whoever had what it lost is told when it is back', async () => {
  await using cluster = await startCluster({ primaries: 3, nodeTimeoutMs: 1_000 });
  await using server = await startServer({ env: { REDIS_URL: cluster.url, LOG_LEVEL: 'debug' } });
  await isReady(server);
  const token = await publisherToken();
  await using client = await openRaw(server, { token });
  const topics = slotThirds.map((third) => topicsIn(third, 'whole', 1)[0] as string);
  const subscribers = await Promise.all(topics.map((topic) => subscribe(client, topic)));
  for (const topic of topics) expect((await publish(server, token, topic, 1)).status).toBe(200);
  await Promise.all(subscribers.map((live) => live.until((item) => item.type === 'event')));
  await Promise.all(cluster.primaries.map((primary) => primary.kill()));
  for (const live of subscribers) await live.until((item) => item.type === 'degraded');
  expect((await publish(server, token, topics[0] as string, 2)).error?.code).toBe('REDIS_NOT_READY');
  await eventually(async () => (await get(server, '/readyz')).status === 503, { what: 'the server to say so' });
  await Promise.all(cluster.primaries.map((primary) => primary.start()));
  // They come back empty.
  for (const live of subscribers) await live.until((item) => item.type === 'reset', { timeoutMs: 30_000 });
  await isReady(server);
  for (const [at, topic] of topics.entries()) {
    expect((await publish(server, token, topic, 'after')).status).toBe(200);
    await subscribers[at]?.until((item) => item.type === 'event' && item.event.data === 'after');
  }
});
