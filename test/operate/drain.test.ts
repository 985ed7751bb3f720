import { expect, test } from 'bun:test';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { PollAnswer, Published } from '@usher/contracts';
import { spawnChild } from '../harness/child.ts';
import { get, mutate, postTicket, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { type Server, startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually, within } from '../harness/wait.ts';

const isReconnect = (frame: unknown): boolean => (frame as { method?: string } | null)?.method === 'reconnect';

/** Waits until the instance has heard the signal. */
const leaving = (server: Server) => server.log(({ msg }) => msg === 'draining');

test('an instance that leaves says so at once, refuses upgrades, and serves whom it has until they are gone', async () => {
  await using server = await startServer({ env: { DRAIN_TIMEOUT_MS: '4000' } });
  const token = await publisherToken();
  await using client = await openRaw(server, { token });
  await mutate(server, 'topic.create', { topic: 'job:1' }, { token });
  const subscription = client.subscribe({ topic: 'job:1' });
  await subscription.until(({ type }) => type === 'snapshot');

  server.signal('SIGTERM');
  await leaving(server);

  const ready = await get<{ status: string; checks: Record<string, { ok: boolean }> }>(server, '/readyz');
  expect(ready.status).toBe(503);
  expect(ready.data?.checks).toMatchObject({ draining: { ok: false }, redis: { ok: true } });
  expect((await get(server, '/healthz')).status).toBe(200);

  const ticket = await postTicket(server, { token });
  expect(ticket.status, 'a ticket issued here opens elsewhere').toBe(200);
  const refusal = expectRefusal(await tryUpgrade(server, `/trpc?ticket=${ticket.data?.ticket}`), 503, 'DRAINING');
  expect(refusal.retryAfterMs).toBeGreaterThan(0);

  const event = { name: 'job_started', data: {} };
  const published = await mutate<Published>(server, 'topic.publish', { topic: 'job:1', event }, { token });
  expect(published.data?.durable).toBe(true);
  expect(published.headers.get('connection'), 'whoever keeps connections open opens the next elsewhere').toBe('close');
  expect((await subscription.until(({ type }) => type === 'event')).id).toBe(published.data?.position ?? '');

  // This client does not understand the word, stays, and is sent away.
  await client.frame(isReconnect);
  expect(await within(client.closed, { what: 'the connection to be closed' })).toEqual({
    code: 1012,
    reason: 'DRAINING',
  });
  expect(await within(server.exited)).toBe(0);
});

test('an instance whose clients have moved does not wait for its deadline', async () => {
  // The harness loses patience long before this deadline.
  await using server = await startServer({ env: { DRAIN_TIMEOUT_MS: '60000' } });
  const token = await publisherToken();
  const clients = await Promise.all(Array.from({ length: 5 }, () => openRaw(server, { token })));
  server.signal('SIGTERM');
  await leaving(server);
  await Promise.all(clients.map((client) => client.close()));
  expect(await within(server.exited)).toBe(0);
});

test('clients are asked to move one after another, and only once', async () => {
  await using server = await startServer({ env: { DRAIN_TIMEOUT_MS: '3000', MAX_CONNECTIONS_PER_USER: '40' } });
  const token = await publisherToken();
  const clients = await Promise.all(Array.from({ length: 20 }, () => openRaw(server, { token })));
  const askedAt: number[] = [];
  const asked = clients.map(async (client) => {
    await client.frame(isReconnect, { timeoutMs: 20_000 });
    askedAt.push(performance.now());
  });
  server.signal('SIGTERM');
  await Promise.all(asked);
  await Promise.all(clients.map(({ closed }) => within(closed)));
  expect(clients.map(({ frames }) => frames.filter(isReconnect).length)).toEqual(clients.map(() => 1));
  // Twenty moments spread over seconds: that all fall into a tenth of one is a storm.
  expect(Math.max(...askedAt) - Math.min(...askedAt)).toBeGreaterThan(100);
  expect(await within(server.exited)).toBe(0);
});

test('polls that wait are answered, and those that come are not held', async () => {
  await using server = await startServer({ env: { DRAIN_TIMEOUT_MS: '3000' } });
  const token = await publisherToken();
  await using stays = await openRaw(server, { token });
  await mutate(server, 'topic.create', { topic: 'job:1' }, { token });
  const first = await query<PollAnswer>(server, 'topic.poll', { topic: 'job:1' }, { token });
  expect(first.data?.items).toHaveLength(1);
  const input = { topic: 'job:1', lastEventId: first.data?.lastEventId, waitMs: 25_000 };
  const polls = Array.from({ length: 5 }, () => query<PollAnswer>(server, 'topic.poll', input, { token }));
  // They wait when they have subscribed: a topic is counted when somebody listens to it.
  await eventually(async () => (await get(server, '/metrics')).text.includes('usher_topics 1'));

  server.signal('SIGTERM');
  await leaving(server);
  for (const poll of [...polls, query<PollAnswer>(server, 'topic.poll', input, { token })]) {
    expect((await poll).data).toEqual({ items: [], lastEventId: first.data?.lastEventId ?? '' });
  }
  expect(stays.isOpen(), 'the polls were answered before the end').toBe(true);
  expect(await within(server.exited)).toBe(0);
});

const publish = (server: Server, token: string) =>
  mutate<Published>(server, 'topic.publish', { topic: 'job:1', event: { name: 'job_started', data: {} } }, { token });

/** Waits until one call is being answered. */
const hasCall = (server: Server) =>
  eventually(async () => (await get(server, '/metrics')).text.includes('usher_calls_in_flight 1'));

test('a publish under way is answered before the instance ends', async () => {
  await using redis = await startRedis();
  await using server = await startServer({ env: { REDIS_URL: redis.url, DRAIN_TIMEOUT_MS: '5000' } });
  await eventually(async () => (await get(server, '/readyz')).status === 200);
  redis.freeze();
  const publishing = publish(server, await publisherToken());
  await hasCall(server);
  server.signal('SIGTERM');
  await leaving(server);
  // Longer than it waits for further calls.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  redis.thaw();
  expect((await publishing).data).toMatchObject({ durable: true });
  expect(await within(server.exited)).toBe(0);
});

test('the deadline holds whatever hangs', async () => {
  await using redis = await startRedis();
  await using server = await startServer({ env: { REDIS_URL: redis.url, DRAIN_TIMEOUT_MS: '1500' } });
  await eventually(async () => (await get(server, '/readyz')).status === 200);
  redis.freeze();
  const publishing = publish(server, await publisherToken()).catch(() => null);
  await hasCall(server);
  server.signal('SIGTERM');
  expect(await within(server.exited)).toBe(0);
  expect(server.logs().map(({ msg }) => msg)).toContain('the time to drain is over');
  expect(await publishing).toBeNull();
});

test('under Deno it leaves in the same way', async () => {
  await using server = await startServer({ runtime: 'deno', env: { DRAIN_TIMEOUT_MS: '2500' } });
  const token = await publisherToken();
  await using client = await openRaw(server, { token });
  server.signal('SIGTERM');
  await leaving(server);
  expect((await get(server, '/readyz')).status).toBe(503);
  expect((await publish(server, token)).status).toBe(200);
  await client.frame(isReconnect);
  expect(await within(client.closed)).toEqual({ code: 1012, reason: 'DRAINING' });
  expect(await within(server.exited)).toBe(0);
});

test('a second SIGTERM ends the instance at once', async () => {
  await using server = await startServer({ env: { DRAIN_TIMEOUT_MS: '60000' } });
  await using stays = await openRaw(server, { token: await publisherToken() });
  server.signal('SIGTERM');
  await leaving(server);
  // The first within a tenth of a second would be one Ctrl-C that arrives twice.
  await eventually(() => {
    server.signal('SIGTERM');
    return !server.isRunning();
  });
  expect(await within(server.exited)).toBe(143);
  expect(await within(stays.closed)).toMatchObject({ code: expect.any(Number) });
});

test('SIGTERM during the start ends the process with 0', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'usher-boot-'));
  try {
    const slow = join(directory, 'slow.ts');
    await writeFile(slow, `process.stderr.write('loading\\n'); await new Promise(() => setInterval(() => {}, 1_000));`);
    await using child = spawnChild([process.execPath, 'server/src/main.ts'], {
      cwd: resolve(import.meta.dir, '../..'),
      env: { PATH: process.env.PATH ?? '', PORT: '0', TOPICS_MODULE: slow },
    });
    await child.line((line) => line === 'loading');
    expect(await child.stop()).toBe(0);
  } finally {
    await rm(directory, { recursive: true });
  }
});
