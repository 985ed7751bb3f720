import { expect, test } from 'bun:test';
import type { Published, Readiness } from '@usher/contracts';
import { get, mutate, type Target } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { type Fault, startLineProxy } from './line-proxy.ts';

const readyz = async (server: Target) => {
  const { status, data } = await get<Readiness>(server, '/readyz');
  return { status, checks: data?.checks ?? {} };
};

/** Waits until it says so; fails with what it said last. */
async function becomes(server: Target, wanted: 200 | 503) {
  let last: Awaited<ReturnType<typeof readyz>> | undefined;
  await eventually(
    async () => {
      last = await readyz(server);
      return last.status === wanted;
    },
    { what: () => `/readyz to say ${wanted}; it said ${JSON.stringify(last)}` },
  );
  return last?.checks ?? {};
}

const publish = async (server: Target, token: string, n: number): Promise<string> => {
  const input = { topic: 'public:news', event: { name: 'tick', data: { n } } };
  const answer = await mutate<Published>(server, 'topic.publish', input, { token });
  return answer.data?.position ?? answer.text;
};

test.each<Fault>(['deaf', 'silent'])(
  'a subscription line that is open and %s is found: not ready until it is mended, and nothing is missed',
  async (fault) => {
    await using redis = await startRedis();
    await using proxy = await startLineProxy(redis.port);
    await using server = await startServer({ env: { REDIS_URL: `redis://127.0.0.1:${proxy.port}` } });
    const token = await publisherToken();
    await becomes(server, 200);
    await using client = await openRaw(server, { token });
    const news = client.subscribe({ topic: 'public:news' });
    await news.until(({ type }) => type === 'snapshot');

    proxy.wedge(fault);
    const position = await publish(server, token, 1);
    const checks = await becomes(server, 503);
    expect(checks).toMatchObject({ redis: { ok: true }, delivery: { ok: false }, draining: { ok: true } });
    // Opening the line anew changes nothing, and is not taken for health.
    const until = performance.now() + 4_000;
    while (performance.now() < until) {
      expect((await readyz(server)).status).toBe(503);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }

    proxy.heal();
    await becomes(server, 200);
    expect((await news.until(({ type }) => type === 'event')).id).toBe(position);
    expect(news.items.map(({ item }) => item.type)).not.toContain('reset');
  },
  60_000,
);

test('killing only the subscription connection shows, and heals by itself', async () => {
  await using redis = await startRedis();
  await using server = await startServer({ env: { REDIS_URL: redis.url } });
  const token = await publisherToken();
  await becomes(server, 200);
  await using client = await openRaw(server, { token });
  const news = client.subscribe({ topic: 'public:news' });
  await news.until(({ type }) => type === 'snapshot');

  expect(await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')).toBe(1);
  expect(await becomes(server, 503)).toMatchObject({ redis: { ok: true }, delivery: { ok: false } });
  const position = await publish(server, token, 1);
  await becomes(server, 200);
  expect((await news.until(({ type }) => type === 'event')).id).toBe(position);
});

test('an ACL that lacks the channel is told in the check, and the instance is not ready', async () => {
  await using redis = await startRedis();
  await redis.command('ACL', 'SETUSER', 'usher', 'on', '>word', '~*', '+@all', 'resetchannels', '&other:*');
  const url = redis.url.replace('//', '//usher:word@');
  await using server = await startServer({ env: { REDIS_URL: url } });
  await eventually(async () => {
    const { status, checks } = await readyz(server);
    return status === 503 && checks.redis?.ok === true;
  });
  expect((await readyz(server)).checks.delivery).toMatchObject({ ok: false });
  expect(server.lines.join('\n')).not.toContain('word@');
});

test('an eviction policy that drops logs is warned of, and the instance stays ready', async () => {
  await using redis = await startRedis({ flags: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] });
  await using server = await startServer({ env: { REDIS_URL: redis.url } });
  const checks = await becomes(server, 200);
  expect(checks.eviction).toMatchObject({
    ok: true,
    policy: 'allkeys-lru',
    warning: expect.stringContaining('noeviction'),
  });
  await server.log(({ level, msg }) => level === 'warn' && msg.includes('maxmemory-policy is "allkeys-lru"'));
  expect((await get(server, '/metrics')).text).toContain('usher_check_warning{check="eviction"} 1');
});

test('where INFO is not allowed the policy is unknown, and nothing else', async () => {
  await using redis = await startRedis();
  await redis.command('ACL', 'SETUSER', 'usher', 'on', '>word', '~*', '&*', '+@all', '-info');
  await using server = await startServer({ env: { REDIS_URL: redis.url.replace('//', '//usher:word@') } });
  expect((await becomes(server, 200)).eviction).toEqual({ ok: true, policy: 'unknown' });
});

test('noeviction is not warned of', async () => {
  await using redis = await startRedis();
  await using server = await startServer({ env: { REDIS_URL: redis.url } });
  const checks = await becomes(server, 200);
  expect(checks.eviction).toEqual({ ok: true, policy: 'noeviction' });
});

const paths = ['/healthz', '/readyz', '/trpc/health.live', '/trpc/health.ready', '/trpc/health.ready?input=nonsense'];

test('health is answered whatever method and body a checker sends', async () => {
  await using server = await startServer();
  const bodies = [undefined, '', '{', '{"json":null}', 'a=b', 'x'.repeat(200_000)];
  const statuses = new Map<string, number>();
  for (const path of paths) {
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND']) {
      for (const body of method === 'GET' || method === 'HEAD' ? [undefined] : bodies) {
        for (const type of ['application/json', 'text/plain']) {
          const headers = { 'content-type': type };
          const response = await fetch(`${server.url}${path}`, {
            method,
            headers,
            ...(body !== undefined && { body }),
          });
          await response.arrayBuffer();
          statuses.set(`${method} ${path} ${body?.slice(0, 20)}`, response.status);
        }
      }
    }
  }
  expect([...statuses].filter(([, status]) => status !== 200)).toEqual([]);
  const form = new FormData();
  form.set('a', 'b');
  expect((await fetch(`${server.url}/readyz`, { method: 'POST', body: form })).status).toBe(200);
});

test('as tRPC queries both answer data, not an error, when the instance is not ready', async () => {
  await using server = await startServer({ env: { REDIS_URL: 'redis://127.0.0.1:1' } });
  expect((await get(server, '/readyz')).status).toBe(503);
  const ready = await get<Readiness>(server, '/trpc/health.ready');
  expect(ready.status).toBe(200);
  expect(ready.data?.status).toBe('unavailable');
  expect((await get(server, '/trpc/health.live')).data).toMatchObject({ status: 'ok' });
  const batch = await get(server, '/trpc/health.ready,health.live?batch=1');
  expect(JSON.parse(batch.text)).toMatchObject([
    { result: { data: { status: 'unavailable' } } },
    { result: { data: { status: 'ok' } } },
  ]);
});
