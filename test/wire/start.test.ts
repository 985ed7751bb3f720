import { describe, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { get, mutate, postTicket, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { runServer, startServer } from '../harness/server.ts';
import { mintToken, publisherToken, testSecret } from '../harness/tokens.ts';

const configurationError = 78;
/** The harness gives every server a secret; an empty variable counts as not given. */
const noAuth = { JWT_SECRET: '' };

describe.each(['bun', 'deno'] as const)('main.ts under %s', (runtime) => {
  test.concurrent('one JSON line says "listening", and the url it names answers', async () => {
    await using server = await startServer({ runtime, env: { PORT: '0' } });
    const lines = server.logs().filter((line) => line.msg === 'listening');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(server.port).toBeGreaterThan(0);
    expect((await fetch(`${lines[0]?.url}/healthz`)).status).toBe(200);
    for (const line of server.lines) expect(() => JSON.parse(line)).not.toThrow();
  });

  test.concurrent('SIGTERM ends an idle server with 0', async () => {
    await using server = await startServer({ runtime });
    expect(await server.stop()).toBe(0);
  });

  test.concurrent('SIGTERM closes a client that does not move with 1012 DRAINING, and ends with 0', async () => {
    await using server = await startServer({ runtime, env: { DRAIN_TIMEOUT_MS: '500' } });
    await using client = await openRaw(server, { token: await mintToken() });
    await client.query('health.live');
    const code = server.stop();
    expect(await client.closed).toEqual({ code: 1012, reason: 'DRAINING' });
    expect(await code).toBe(0);
    expect(client.frames).toContainEqual({ id: null, method: 'reconnect' });
  });

  test.concurrent('wrong configuration is told whole, on stderr, without a secret, with exit code 78', async () => {
    const { exitCode, output } = await runServer({
      runtime,
      env: {
        PORT: 'many',
        JWT_SECRET: 'too-short-a-secret',
        API_KEYS: '{"planted-key"',
        TICKET_TTL_MS: '30s',
        REDIS_URL: 'http://user:planted-password@redis',
        ALLOWED_ORIGINS: '*',
        LOG_LEVEL: 'loud',
      },
    });
    expect(exitCode).toBe(configurationError);
    for (const variable of [
      'PORT',
      'JWT_SECRET',
      'API_KEYS',
      'TICKET_TTL_MS',
      'REDIS_URL',
      'ALLOWED_ORIGINS',
      'LOG_LEVEL',
    ]) {
      expect(output).toMatch(new RegExp(`^${variable}: Wanted `, 'm'));
    }
    expect(output).not.toMatch(/too-short-a-secret|planted|listening/);
  });
});

test.concurrent('without authentication outside production everybody is "dev" with all scopes, and it is said loudly', async () => {
  await using server = await startServer({ env: noAuth });
  expect(server.url).toStartWith('http://127.0.0.1:');
  const warning = await server.log((line) => line.level === 'warn');
  expect(warning.msg).toContain('AUTHENTICATION IS DISABLED');
  expect((await postTicket(server)).status).toBe(200);
  const event = { name: 'job_started', data: {} };
  expect((await mutate(server, 'topic.publish', { topic: 'job:1', event, owner: 'dev' })).status).toBe(200);
  await using client = await openRaw(server, {});
  const list = await client.query<{ connections: { userId: string }[] }>('connection.list');
  expect(list.data?.connections.map((connection) => connection.userId)).toEqual(['dev']);
});

test.concurrent('DISABLE_AUTH makes everybody "dev" whatever else is configured, and whatever is presented', async () => {
  await using server = await startServer({ env: { DISABLE_AUTH: 'true' } });
  expect(server.logs().some((line) => line.level === 'warn' && line.msg.includes('AUTHENTICATION IS DISABLED'))).toBe(
    true,
  );
  const answer = await query(server, 'topic.poll', { topic: 'user:dev' }, { token: 'nonsense' });
  expect(answer.status).toBe(200);
});

test.concurrent.each([
  ['DISABLE_AUTH with NODE_ENV=production', { NODE_ENV: 'production', DISABLE_AUTH: 'true' }, 'DISABLE_AUTH'],
  ['no authentication with NODE_ENV=production', { NODE_ENV: 'production', ...noAuth }, 'JWT_SECRET'],
  ['no authentication on all addresses', { HOST: '0.0.0.0', ...noAuth }, 'HOST'],
  ['a TOPICS_MODULE that is not there', { TOPICS_MODULE: './no-such-module.ts' }, 'TOPICS_MODULE'],
  ['a JWT secret of 31 bytes', { JWT_SECRET: 'x'.repeat(31) }, 'JWT_SECRET'],
])('%s is refused with 78', async (_, env, variable) => {
  const { exitCode, output } = await runServer({ env });
  expect(exitCode).toBe(configurationError);
  expect(output).toMatch(new RegExp(`^${variable}: `, 'm'));
});

test.concurrent('NODE_ENV=production with a secret starts, and takes no caller without a token', async () => {
  await using server = await startServer({ env: { NODE_ENV: 'production' } });
  expect((await postTicket(server)).status).toBe(401);
  expect((await postTicket(server, { token: await mintToken() })).status).toBe(200);
});

test.concurrent('a port that is taken is no configuration error: it ends with 1 and says why', async () => {
  await using server = await startServer();
  const { exitCode, output } = await runServer({ env: { PORT: String(server.port) } });
  expect(exitCode).toBe(1);
  expect(output).toMatch(/EADDRINUSE|in use/i);
});

test.concurrent('TOPICS_MODULE adds topics to those in the box', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'usher-topics-'));
  try {
    const path = join(directory, 'topics.ts');
    const contracts = new URL('../../contracts/src/index.ts', import.meta.url).pathname;
    const zod = Bun.resolveSync('zod', new URL('../../contracts/src', import.meta.url).pathname);
    await Bun.write(
      path,
      `import { defineTopic } from ${JSON.stringify(contracts)};
      import { z } from ${JSON.stringify(zod)};
      export default [defineTopic({
        name: 'order',
        params: z.string().regex(/^[0-9]+$/),
        state: z.object({ status: z.enum(['open', 'shipped']) }),
        events: { order_shipped: z.object({ carrier: z.string() }) },
        terminal: ['order_shipped'],
      })];`,
    );
    await using server = await startServer({ env: { TOPICS_MODULE: path } });
    const token = await publisherToken();
    const shipped = { name: 'order_shipped', data: { carrier: 'owl' } };
    expect((await mutate(server, 'topic.publish', { topic: 'order:x', event: shipped }, { token })).error?.code).toBe(
      'TOPIC_UNKNOWN',
    );
    expect((await mutate(server, 'topic.publish', { topic: 'order:1', event: shipped }, { token })).status).toBe(200);
    const again = await mutate(server, 'topic.publish', { topic: 'order:1', event: shipped }, { token });
    expect(again.error?.code).toBe('TOPIC_CLOSED');
    expect((await get(server, '/healthz')).status).toBe(200);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test.concurrent('no line of a start holds the secret it was started with', async () => {
  await using server = await startServer({ env: { LOG_LEVEL: 'trace', METRICS_TOKEN: 'metrics-token-for-this-test' } });
  await get(server, '/healthz');
  await server.stop();
  const output = server.lines.join('\n');
  expect(output).not.toContain(testSecret);
  expect(output).not.toContain('metrics-token-for-this-test');
});
