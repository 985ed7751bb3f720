import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { get, issueTicket, mutate, postTicket, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { startServer } from '../harness/server.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { onEachServer } from './each-server.ts';

const newTraceId = expect.stringMatching(/^[\da-f]{32}$/);
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

onEachServer((server, kind) => {
  describe('POST /ws-ticket', () => {
    test('gives a ticket, when it ends, and where to take it', async () => {
      const before = Date.now();
      const answer = await postTicket(server(), { token: await mintToken() });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect(answer.headers.get('content-type')).toStartWith('application/json');
      expect(JSON.parse(answer.text)).toEqual({
        ticket: expect.stringMatching(/^ut1_[\w-]{43}$/),
        expiresAt: expect.any(Number),
        expiresInMs: 30_000,
        path: '/trpc',
      });
      expect(answer.data?.expiresAt).toBeWithin(before + 30_000, Date.now() + 30_001);
    });

    test.each([
      ['no body', undefined],
      ['null', 'null'],
      ['an empty object', '{}'],
      ['blanks', '  '],
    ])('takes %s', async (_, body) => {
      const options = { token: await mintToken(), ...(body !== undefined && { body }) };
      expect((await postTicket(server(), options)).status).toBe(200);
    });

    test('a bound ticket opens only for who reveals the nonce in connectionParams', async () => {
      const nonce = 'nonce-of-this-test';
      const binding = createHash('sha256').update(nonce).digest('hex');
      const issue = async () => {
        const answer = await postTicket(server(), { token: await mintToken(), body: JSON.stringify({ binding }) });
        return answer.data?.ticket ?? '';
      };
      expectRefusal(await tryUpgrade(server(), `/trpc?ticket=${await issue()}`), 401, 'TICKET_INVALID');
      await using client = await openRaw(server(), { connectionParams: { ticket: await issue(), nonce } });
      expect((await client.query('health.live')).error).toBeUndefined();
      await using thief = await openRaw(server(), { connectionParams: { ticket: await issue(), nonce: 'guessed' } });
      expect(await thief.frame(() => true)).toMatchObject({ id: null, error: { data: { reason: 'TICKET_INVALID' } } });
      expect(await thief.closed).toEqual({ code: 1008, reason: 'TICKET_INVALID' });
    });

    test('is ticket.issue of tRPC under another name', async () => {
      const answer = await mutate(server(), 'ticket.issue', {}, { token: await mintToken() });
      expect(JSON.parse(answer.text)).toEqual({
        result: {
          data: { ticket: expect.any(String), expiresAt: expect.any(Number), expiresInMs: 30_000, path: '/trpc' },
        },
      });
    });
  });

  describe('health', () => {
    test('GET /healthz and /readyz answer in their shape', async () => {
      const live = await get<{ status: string; version: string }>(server(), '/healthz');
      expect([live.status, live.data?.status]).toEqual([200, 'ok']);
      const ready = await get<{ status: string; checks: Record<string, { ok: boolean }>; version: string }>(
        server(),
        '/readyz',
      );
      expect([ready.status, ready.data?.status]).toEqual([200, 'ok']);
      expect(Object.keys(ready.data ?? {})).toEqual(expect.arrayContaining(['checks', 'status', 'version']));
      expect(Object.keys(ready.data?.checks ?? {})).toEqual(expect.arrayContaining(['redis', 'delivery', 'draining']));
      for (const check of Object.values(ready.data?.checks ?? {})) expect(check.ok).toBe(true);
      expect(ready.data?.version).toMatch(/^\d+\.\d+\.\d+/);
    });

    test('as tRPC queries both answer data with the same status', async () => {
      const live = await query<{ status: string }>(server(), 'health.live', undefined);
      const ready = await query<{ status: string; checks: object }>(server(), 'health.ready', undefined);
      expect([live.status, live.data?.status]).toEqual([200, 'ok']);
      expect([ready.status, ready.data?.status]).toEqual([200, 'ok']);
      await using client = await openRaw(server(), { token: await mintToken() });
      expect((await client.query<{ status: string }>('health.ready')).data?.status).toBe('ok');
    });

    test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('%s with any body is answered as GET is', async (method) => {
      for (const path of ['/healthz', '/readyz']) {
        for (const body of ['', '{', '[]', '"x"', 'x'.repeat(100_000)]) {
          const headers = { 'content-type': 'application/json' };
          expect((await fetch(`${server().url}${path}`, { method, body, headers })).status).toBe(200);
        }
      }
    });
  });

  describe('an error', () => {
    test('outside tRPC tells its HTTP class, code, message and trace id', async () => {
      const answer = await postTicket(server());
      expect(answer.status).toBe(401);
      expect(JSON.parse(answer.text)).toEqual({
        error: 'UNAUTHORIZED',
        code: 'UNAUTHORIZED',
        message: expect.any(String),
        traceId: newTraceId,
      });
      expect(answer.headers.get('x-trace-id')).toBe(JSON.parse(answer.text).traceId);
    });

    test("inside tRPC tells the same in its data, and tRPC's own code beside it", async () => {
      const answer = await query(server(), 'topic.state', { topic: 'job:nobodys' }, { token: await mintToken() });
      expect(answer.status).toBe(404);
      expect(JSON.parse(answer.text)).toEqual({
        error: {
          message: 'There is no such topic',
          code: -32004,
          data: {
            code: 'NOT_FOUND',
            httpStatus: 404,
            path: 'topic.state',
            reason: 'TOPIC_UNKNOWN',
            traceId: newTraceId,
          },
        },
      });
      expect(answer.headers.get('x-trace-id')).toBe(answer.error?.traceId ?? '');
    });

    test('of an input names every fault at its place', async () => {
      const event = { name: 'file_processing', data: { index: 'one' } };
      const answer = await mutate(
        server(),
        'topic.publish',
        { topic: 'job:1', event },
        { token: await publisherToken() },
      );
      const { issues } = expectRefusal(answer, 400, 'BAD_REQUEST');
      expect(issues?.map((issue) => issue.path).sort()).toEqual(['event.data.file', 'event.data.index']);
    });

    test.each([
      ['X-Trace-Id', { 'x-trace-id': 'trace:42.a-b_c' }, 'trace:42.a-b_c'],
      ['traceparent', { traceparent }, '4bf92f3577b34da6a3ce929d0e0e4736'],
      ['X-Trace-Id before traceparent', { traceparent, 'x-trace-id': 'mine' }, 'mine'],
    ])('takes the trace id over from %s', async (_, headers, traceId) => {
      for (const answer of [
        await postTicket(server(), { headers }),
        await query(server(), 'topic.state', { topic: 'job:1' }, { headers }),
        await get(server(), '/nowhere', { headers }),
        await tryUpgrade(server(), '/trpc', { headers }),
      ]) {
        expect(answer.error?.traceId).toBe(traceId);
        expect(answer.headers.get('x-trace-id')).toBe(traceId);
      }
    });

    test.each(['', 'x'.repeat(65), 'a b', '<script>', 'a"b'])('makes a new trace id in place of %j', async (given) => {
      const answer = await postTicket(server(), { headers: { 'x-trace-id': given } });
      expect(answer.error?.traceId).toMatch(/^[\da-f]{32}$/);
    });

    test('an answer that is none, and an upgrade, carry the trace id too', async () => {
      const headers = { 'x-trace-id': 'a-good-one' };
      const token = await mintToken();
      expect((await postTicket(server(), { token, headers })).headers.get('x-trace-id')).toBe('a-good-one');
      expect((await get(server(), '/healthz', { headers })).headers.get('x-trace-id')).toBe('a-good-one');
      const ticket = await issueTicket(server(), token);
      const upgraded = await tryUpgrade(server(), `/trpc?ticket=${ticket}`, { headers });
      expect([upgraded.status, upgraded.headers.get('x-trace-id')]).toEqual([101, 'a-good-one']);
    });
  });

  test('curl -d publishes as it stands in wire.md', async () => {
    const curl = Bun.spawn(
      [
        'curl',
        '-sS',
        '-H',
        `Authorization: Bearer ${await publisherToken()}`,
        '-d',
        '{"topic":"job:curl","event":{"name":"job_started","data":{"totalFiles":2}}}',
        `${server().url}/trpc/topic.publish`,
      ],
      { stdout: 'pipe', stderr: 'inherit' },
    );
    expect(JSON.parse(await new Response(curl.stdout).text())).toEqual({
      result: { data: { position: expect.stringMatching(/^\d+-\d+$/), durable: true, duplicate: false } },
    });
  });

  test('GET /metrics is Prometheus text, and counts passes by each source', async () => {
    const answer = await get(server(), '/metrics');
    expect(answer.headers.get('content-type')).toStartWith('text/plain');
    expect(answer.text).toContain('# TYPE usher_ticket_passes_total counter');
    for (const line of answer.text.split('\n')) expect(line).toMatch(/^(#.*|[a-z_]+(\{.*\})? \S+|)$/i);
  });

  test(`upgrades are taken on /trpc, /ws and /websocket alike, anywhere else 404 names them (${kind})`, async () => {
    for (const path of ['/trpc', '/ws', '/websocket']) {
      await using client = await openRaw(server(), { token: await mintToken(), path });
      expect((await client.query('health.live')).error).toBeUndefined();
    }
    for (const path of ['/', '/trpc/', '/trpc/topic.publish', '/ws/', '/socket', '/WS', '/healthz', '/ws-ticket']) {
      const refusal = expectRefusal(await tryUpgrade(server(), path), 404, 'WRONG_PATH');
      expect(refusal.message).toContain('/trpc');
    }
  });
});

test('GET /metrics is for its token alone where it has one, and else for near peers', async () => {
  await using server = await startServer({ env: { METRICS_TOKEN: 'token-of-prometheus' } });
  expectRefusal(await get(server, '/metrics'), 401, 'UNAUTHORIZED');
  expectRefusal(await get(server, '/metrics', { token: 'another-token' }), 401, 'UNAUTHORIZED');
  expectRefusal(await get(server, '/metrics', { token: await mintToken() }), 401, 'UNAUTHORIZED');
  expect((await get(server, '/metrics', { token: 'token-of-prometheus' })).status).toBe(200);
});
