import { describe, expect, test } from 'bun:test';
import { createConnection } from 'node:net';
import { startTestServer } from '../testing/index.ts';

const json = async (response: Response) => ({
  status: response.status,
  headers: response.headers,
  body: (await response.json()) as Record<string, unknown>,
});

describe('POST /ws-ticket', () => {
  test('gives a ticket that nobody may store', async () => {
    await using server = await startTestServer();
    const headers = { authorization: `Bearer ${await server.token()}` };
    const {
      status,
      headers: answered,
      body,
    } = await json(await fetch(`${server.url}/ws-ticket`, { method: 'POST', headers }));
    expect(status).toBe(200);
    expect(answered.get('cache-control')).toBe('no-store');
    expect(body).toEqual({
      ticket: expect.stringMatching(/^ut1_[\w-]{43}$/),
      expiresAt: expect.any(Number),
      expiresInMs: 30_000,
      path: '/trpc',
    });
  });

  test.each([
    ['no token', {}, '', 401, 'UNAUTHORIZED'],
    ['a bad token', { authorization: 'Bearer x.y.z' }, '', 401, 'UNAUTHORIZED'],
    ['a body that is no JSON', 'token', '{', 400, 'BAD_REQUEST'],
    ['a binding that is no hash', 'token', '{"binding":"x"}', 400, 'BAD_REQUEST'],
    ['a body that is an array', 'token', '[]', 400, 'BAD_REQUEST'],
    ['a body above the limit', 'token', `"${'x'.repeat(1_200_000)}"`, 413, 'PAYLOAD_TOO_LARGE'],
  ])('refuses %s', async (_, auth, body, status, code) => {
    await using server = await startTestServer();
    const headers: Record<string, string> =
      auth === 'token' ? { authorization: `Bearer ${await server.token()}` } : (auth as Record<string, string>);
    const answer = await json(await fetch(`${server.url}/ws-ticket`, { method: 'POST', headers, body }));
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ code, message: expect.any(String), traceId: expect.any(String) });
  });

  test('refuses more tickets than a user may have, and says when to come back', async () => {
    await using server = await startTestServer({ env: { TICKETS_PER_MINUTE: '2' } });
    const headers = { authorization: `Bearer ${await server.token()}` };
    const ask = () => fetch(`${server.url}/ws-ticket`, { method: 'POST', headers });
    await ask();
    await ask();
    const { status, body, headers: answered } = await json(await ask());
    expect([status, body.code]).toEqual([429, 'RATE_LIMITED']);
    expect(body.retryAfterMs).toBeGreaterThan(0);
    expect(Number(answered.get('retry-after'))).toBeGreaterThan(0);
  });

  test('answers 503 at once while Redis is away, in the words of the wire', async () => {
    await using server = await startTestServer();
    const headers = { authorization: `Bearer ${await server.token()}` };
    server.faults.redisAway(true);
    const { status, body } = await json(await fetch(`${server.url}/ws-ticket`, { method: 'POST', headers }));
    expect(status).toBe(503);
    expect(body).toMatchObject({
      error: 'SERVICE_UNAVAILABLE',
      code: 'WS_TICKET_REDIS_NOT_READY',
      message: 'WebSocket ticket service temporarily unavailable - Redis not ready',
    });
    server.faults.redisAway(false);
    expect((await fetch(`${server.url}/ws-ticket`, { method: 'POST', headers })).status).toBe(200);
  });

  test('is the same as ticket.issue over tRPC', async () => {
    await using server = await startTestServer();
    const headers = { authorization: `Bearer ${await server.token()}`, 'content-type': 'application/json' };
    const { body } = await json(
      await fetch(`${server.url}/trpc/ticket.issue`, { method: 'POST', headers, body: '{}' }),
    );
    expect(body).toMatchObject({ result: { data: { ticket: expect.stringMatching(/^ut1_/), path: '/trpc' } } });
    const refused = await json(await fetch(`${server.url}/trpc/ticket.issue`, { method: 'POST', body: '{}' }));
    expect(refused.status).toBe(401);
    expect(refused.body).toMatchObject({
      error: { data: { code: 'UNAUTHORIZED', reason: 'UNAUTHORIZED', traceId: expect.any(String) } },
    });
  });
});

describe('health', () => {
  test.each(['GET', 'HEAD', 'POST', 'PUT', 'DELETE'])(
    '/healthz and /readyz answer %s, whatever the body',
    async (method) => {
      await using server = await startTestServer();
      for (const path of ['/healthz', '/readyz']) {
        const body = method === 'GET' || method === 'HEAD' ? null : '{ no json';
        const response = await fetch(`${server.url}${path}`, { method, body });
        expect(response.status).toBe(200);
      }
    },
  );

  test('readiness names what is missing, over HTTP and over tRPC', async () => {
    await using server = await startTestServer();
    server.faults.redisAway(true);
    const { status, body } = await json(await fetch(`${server.url}/readyz`));
    expect(status).toBe(503);
    expect(body).toMatchObject({
      status: 'unavailable',
      checks: { redis: { ok: false }, draining: { ok: true } },
      version: '0.1.0',
    });
    const over = await json(await fetch(`${server.url}/trpc/health.ready`));
    expect(over.status).toBe(200);
    expect(over.body).toMatchObject({ result: { data: { status: 'unavailable' } } });
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });
});

describe('tRPC over HTTP', () => {
  test('takes what curl -d sends', async () => {
    await using server = await startTestServer();
    const response = await fetch(`${server.url}/trpc/topic.publish`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await server.token({ scopes: ['publish'] })}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: JSON.stringify({ topic: 'public:a', event: { name: 'hello', data: { n: 1 } } }),
    });
    expect(await json(response)).toMatchObject({
      status: 200,
      body: { result: { data: { position: expect.stringMatching(/^\d+-1$/), durable: true, duplicate: false } } },
    });
  });

  test.each([
    ['no JSON', '{', 400, 'BAD_REQUEST'],
    ['an empty body', '', 400, 'BAD_REQUEST'],
    ['a wrong type', '{"topic":7}', 400, 'BAD_REQUEST'],
    ['no event', '{"topic":"public:a"}', 400, 'BAD_REQUEST'],
    ['a body above the limit', `"${'x'.repeat(1_200_000)}"`, 413, 'PAYLOAD_TOO_LARGE'],
  ])('answers %s with a code', async (_, body, status, reason) => {
    await using server = await startTestServer();
    const headers = { authorization: `Bearer ${await server.token({ scopes: ['publish'] })}` };
    const answer = await json(await fetch(`${server.url}/trpc/topic.publish`, { method: 'POST', headers, body }));
    expect(answer.status).toBe(status);
    const code = (answer.body.error as { data?: { reason?: string } }).data?.reason ?? answer.body.code;
    expect(code).toBe(reason);
    expect(JSON.stringify(answer.body)).not.toMatch(/"stack"|node_modules/);
  });

  test('tells every fault of an input at its place', async () => {
    await using server = await startTestServer();
    const headers = { authorization: `Bearer ${await server.token({ scopes: ['publish'] })}` };
    const event = { name: 'job_started', data: { totalFiles: 'many' } };
    const { body } = await json(
      await fetch(`${server.url}/trpc/topic.publish`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ topic: 'job:1', event }),
      }),
    );
    expect(body).toMatchObject({ error: { data: { issues: [{ path: 'event.data.totalFiles' }] } } });
  });

  test('serves a subscription as server-sent events', async () => {
    await using server = await startTestServer();
    const controller = new AbortController();
    const input = encodeURIComponent(JSON.stringify({ topic: 'public:sse' }));
    const response = await fetch(`${server.url}/trpc/topic.subscribe?input=${input}`, {
      headers: { authorization: `Bearer ${await server.token()}`, accept: 'text/event-stream' },
      signal: controller.signal,
    });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const until = async (wanted: string) => {
      while (!text.includes(wanted)) text += (await reader?.read())?.value ?? '';
    };
    await until('"type":"snapshot"');
    await server.publish('public:sse', { name: 'hello' });
    await until('"name":"hello"');
    expect(text).toMatch(/id: \d+-1\n/);
    controller.abort();
  });
});

describe('browsers', () => {
  test('an allowed origin may ask and read, a foreign one may not', async () => {
    await using server = await startTestServer({ env: { ALLOWED_ORIGINS: 'https://app.example' } });
    const preflight = (origin: string) =>
      fetch(`${server.url}/trpc/topic.publish`, { method: 'OPTIONS', headers: { origin } });
    const allowed = await preflight('https://app.example');
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(allowed.headers.get('access-control-allow-headers')).toContain('authorization');
    const foreign = await preflight('https://app.example.evil');
    expect(foreign.status).toBe(403);
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    const read = await fetch(`${server.url}/healthz`, { headers: { origin: 'https://app.example' } });
    expect(read.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(read.headers.get('x-content-type-options')).toBe('nosniff');
  });
});

describe('/metrics', () => {
  test('tells passes by source, and nothing of who', async () => {
    await using server = await startTestServer();
    const ticket = await server.ticket({ userId: 'ada' });
    const ws = new WebSocket(`${server.url.replace('http', 'ws')}/trpc?ticket=${ticket}`);
    await new Promise((resolve) => {
      ws.onopen = resolve;
    });
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toContain('usher_ticket_passes_total{source="redis"} 1');
    expect(text).toContain('usher_connections 1');
    expect(text).not.toContain('ada');
    ws.close();
  });

  test('are not for strangers that a near proxy speaks for', async () => {
    await using server = await startTestServer({ env: { TRUST_PROXY: 'true' } });
    const from = (address: string) => fetch(`${server.url}/metrics`, { headers: { 'x-forwarded-for': address } });
    expect((await from('203.0.113.7')).status).toBe(403);
    expect((await from('10.0.0.7')).status).toBe(200);
  });

  test('asks for its token where it has one', async () => {
    await using server = await startTestServer({ env: { METRICS_TOKEN: 'a-token-for-prometheus' } });
    expect((await fetch(`${server.url}/metrics`)).status).toBe(401);
    const headers = { authorization: 'Bearer a-token-for-prometheus' };
    expect((await fetch(`${server.url}/metrics`, { headers })).status).toBe(200);
  });
});

test('an unknown path names the right ones', async () => {
  await using server = await startTestServer();
  const { status, body } = await json(await fetch(`${server.url}/api`));
  expect(status).toBe(404);
  expect(body).toMatchObject({ error: 'NOT_FOUND', code: 'WRONG_PATH', message: expect.stringContaining('/trpc') });
});

test('a body that never ends is given up with a code', async () => {
  await using server = await startTestServer();
  const token = await server.token();
  const socket = createConnection({ host: '127.0.0.1', port: Number(new URL(server.url).port) });
  const answer = await new Promise<string>((resolve) => {
    socket.on('data', (chunk) => resolve(String(chunk)));
    socket.write(
      `POST /ws-ticket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 10\r\n\r\n{`,
    );
  });
  socket.destroy();
  expect(answer).toContain('400');
  expect(answer).toContain('BAD_REQUEST');
}, 15_000);
