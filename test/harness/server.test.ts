import { expect, test } from 'bun:test';
import { get, issueTicket, mutate, postTicket, query, through, typedClient } from './http.ts';
import { startProxy } from './proxy.ts';
import { openRaw } from './raw-client.ts';
import { startRedis } from './redis.ts';
import { expectRefusal } from './refusal.ts';
import { runServer, startServer } from './server.ts';
import { mintToken, publisherToken } from './tokens.ts';
import { tryUpgrade } from './upgrade.ts';
import { within } from './wait.ts';

const publish = (topic: string, n: number) => ({ topic, event: { name: 'tick', data: { n } } });

for (const runtime of ['bun', 'deno'] as const) {
  test(`startServer() runs the service under ${runtime} until stop(), which answers exit code 0`, async () => {
    await using server = await startServer({ runtime });
    expect((await get(server, '/healthz')).status).toBe(200);
    expect(server.logs().some(({ msg }) => msg === 'listening')).toBe(true);
    expect(await server.stop()).toBe(0);
  });
}

test('runServer() gives the exit code and the output of a server that does not start', async () => {
  const { exitCode, output } = await runServer({ env: { PORT: 'abc' } });
  expect(exitCode).toBe(78);
  expect(output).toContain('PORT');
});

test('a raw client sees what a publisher sends on another instance, and continues after its connection was cut', async () => {
  await using redis = await startRedis();
  await using first = await startServer({ env: { REDIS_URL: redis.url } });
  await using second = await startServer({ env: { REDIS_URL: redis.url } });
  await using proxy = await startProxy(second.port);
  const token = await mintToken();
  const worker = typedClient(first, await publisherToken());

  const client = await openRaw(through(proxy), { token });
  const subscription = client.subscribe({ topic: 'public:harness' });
  expect((await subscription.next()).item).toEqual({ type: 'snapshot', state: null, events: [] });
  await worker.topic.publish.mutate(publish('public:harness', 1));
  const { id } = await subscription.until((item) => item.type === 'event');
  proxy.drop();
  expect((await within(client.closed)).code).toBe(1006);
  await worker.topic.publish.mutate(publish('public:harness', 2));

  await using again = await openRaw(through(proxy), { token });
  const resumed = again.subscribe({ topic: 'public:harness' }, { lastEventId: id });
  expect((await resumed.next()).item).toEqual({ type: 'resumed', replayed: 1 });
  await resumed.until((item) => item.type === 'event');
  expect(resumed.events.map(({ data }) => data)).toEqual([{ n: 2 }]);
  resumed.stop();
  expect(await resumed.ended()).toEqual({ type: 'stopped' });
  expect((await again.query('topic.state', { topic: 'public:harness' })).data).toMatchObject({ state: null });
  expect((await again.mutation('topic.publish', publish('public:harness', 3))).error?.code).toBe('FORBIDDEN');
});

test('until() says what was seen when it gives up', async () => {
  await using server = await startServer();
  await using client = await openRaw(server, { token: await mintToken() });
  const subscription = client.subscribe({ topic: 'public:harness' });
  await subscription.next();
  await expect(subscription.next({ timeoutMs: 50 })).rejects.toThrow(/it saw 1 items\n .*"snapshot"/);
});

test('tryUpgrade() tells status and code of a refused upgrade, and 101 of an accepted one', async () => {
  await using server = await startServer();
  const ticket = await issueTicket(server, await mintToken());
  expectRefusal(await tryUpgrade(server, '/trpc?ticket=ut1_none'), 401, 'TICKET_INVALID');
  expectRefusal(await tryUpgrade(server, '/elsewhere'), 404, 'WRONG_PATH');
  expect((await tryUpgrade(server, `/trpc?ticket=${ticket}`)).status).toBe(101);
});

test('expectRefusal() reads a refusal alike inside and outside tRPC', async () => {
  await using server = await startServer();
  expectRefusal(await postTicket(server), 401, 'UNAUTHORIZED');
  const token = await mintToken();
  expectRefusal(await mutate(server, 'topic.publish', publish('public:x', 1), { token }), 403, 'FORBIDDEN');
  const refusal = expectRefusal(await query(server, 'topic.state', { topic: 7 }, { token }), 400, 'BAD_REQUEST');
  expect(refusal.issues).toHaveLength(1);
});
