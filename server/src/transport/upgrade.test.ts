import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { startTestServer } from '../testing/index.ts';
import { openSocket } from './test-socket.ts';

/** The status and body of a refused upgrade, which a WebSocket client cannot see. */
const refusedUpgrade = async (url: string, headers: Record<string, string> = {}) => {
  const response = await fetch(url, {
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      ...headers,
    },
  });
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown>,
    headers: response.headers,
  };
};

const ask = { id: 1, method: 'query', params: { path: 'health.live', input: null } };

describe('upgrade', () => {
  test.each(['/trpc', '/ws', '/websocket'])('a ticket opens a connection on %s', async (path) => {
    await using server = await startTestServer();
    await using socket = openSocket(`${server.url}${path}?ticket=${await server.ticket()}`);
    expect(await socket.opened).toBe(true);
    socket.send(ask);
    expect(await socket.next()).toMatchObject({ id: 1, result: { data: { status: 'ok' } } });
  });

  test('any other path is refused, and the right ones are named', async () => {
    await using server = await startTestServer();
    const { status, body } = await refusedUpgrade(`${server.url}/websockets?ticket=${await server.ticket()}`);
    expect(status).toBe(404);
    expect(body).toMatchObject({
      error: 'NOT_FOUND',
      code: 'WRONG_PATH',
      message: expect.stringContaining('/trpc, /ws and /websocket'),
    });
    expect(body.traceId).toMatch(/^[\da-f]{32}$/);
  });

  test.each([
    ['unknown', 'ut1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
    ['malformed', 'nonsense'],
    ['empty', ''],
    ['absurdly long', 'x'.repeat(3_000)],
  ])('an %s ticket is refused before the upgrade with one message', async (_, ticket) => {
    await using server = await startTestServer();
    const { status, body } = await refusedUpgrade(`${server.url}/trpc?ticket=${ticket}`);
    expect(status).toBe(401);
    expect(body).toMatchObject({ code: 'TICKET_INVALID', message: 'The ticket is unknown, used or expired' });
  });

  test('a used ticket gets the answer of an unknown one', async () => {
    await using server = await startTestServer();
    const ticket = await server.ticket();
    await using socket = openSocket(`${server.url}/trpc?ticket=${ticket}`);
    await socket.opened;
    socket.send(ask);
    await socket.next();
    const { status, body } = await refusedUpgrade(`${server.url}/trpc?ticket=${ticket}`);
    expect([status, body.code]).toEqual([401, 'TICKET_INVALID']);
    expect(JSON.stringify(body)).not.toContain(ticket);
  });

  test('two tickets in one url are refused', async () => {
    await using server = await startTestServer();
    const ticket = await server.ticket();
    const { body } = await refusedUpgrade(`${server.url}/trpc?ticket=${ticket}&ticket=${ticket}`);
    expect(body.code).toBe('TICKET_INVALID');
  });

  test('nothing at all is refused', async () => {
    await using server = await startTestServer();
    const { status, body, headers } = await refusedUpgrade(`${server.url}/trpc`);
    expect([status, body.code]).toEqual([401, 'UNAUTHORIZED']);
    expect(headers.get('www-authenticate')).toBe('Bearer');
  });

  test('a bearer token opens a connection without a ticket, a bad one does not', async () => {
    await using server = await startTestServer();
    await using socket = openSocket(`${server.url}/trpc`, { authorization: `Bearer ${await server.token()}` });
    expect(await socket.opened).toBe(true);
    const { status, body } = await refusedUpgrade(`${server.url}/trpc`, { authorization: 'Bearer nonsense' });
    expect([status, body.code]).toEqual([401, 'UNAUTHORIZED']);
  });

  test('a foreign origin is refused, its own and an allowed one are not', async () => {
    await using server = await startTestServer({ env: { ALLOWED_ORIGINS: 'https://app.example' } });
    const foreign = await refusedUpgrade(`${server.url}/trpc?ticket=${await server.ticket()}`, {
      origin: 'https://evil.example',
    });
    expect([foreign.status, foreign.body.code]).toEqual([403, 'ORIGIN_NOT_ALLOWED']);
    for (const origin of [server.url, 'https://app.example']) {
      await using socket = openSocket(`${server.url}/trpc?ticket=${await server.ticket()}`, { origin });
      expect(await socket.opened).toBe(true);
    }
  });

  test('a trace id is taken over and returned', async () => {
    await using server = await startTestServer();
    const { body, headers } = await refusedUpgrade(`${server.url}/trpc`, { 'x-trace-id': 'trace-42' });
    expect(body.traceId).toBe('trace-42');
    expect(headers.get('x-trace-id')).toBe('trace-42');
  });

  test('one connection more than a user may have is refused before the upgrade', async () => {
    await using server = await startTestServer({ env: { MAX_CONNECTIONS_PER_USER: '1' } });
    await using first = openSocket(`${server.url}/trpc?ticket=${await server.ticket()}`);
    await first.opened;
    const { status, body, headers } = await refusedUpgrade(`${server.url}/trpc?ticket=${await server.ticket()}`);
    expect([status, body.code]).toEqual([429, 'CONNECTION_LIMIT']);
    expect(body.retryAfterMs).toBeGreaterThan(0);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  });
});

describe('connectionParams', () => {
  test('a ticket may come in the first message', async () => {
    await using server = await startTestServer();
    await using socket = openSocket(`${server.url}/trpc?connectionParams=1`);
    await socket.opened;
    socket.send({ method: 'connectionParams', data: { ticket: await server.ticket() } });
    socket.send(ask);
    expect(await socket.next()).toMatchObject({ id: 1, result: { data: { status: 'ok' } } });
  });

  test('a wrong ticket gets an error frame, and a close with its code a moment later', async () => {
    await using server = await startTestServer();
    await using socket = openSocket(`${server.url}/trpc?connectionParams=1`);
    await socket.opened;
    const sentAt = performance.now();
    socket.send({ method: 'connectionParams', data: { ticket: 'ut1_nonsense' } });
    expect(await socket.next()).toMatchObject({
      id: null,
      error: {
        message: 'The ticket is unknown, used or expired',
        data: { code: 'UNAUTHORIZED', reason: 'TICKET_INVALID' },
      },
    });
    expect(await socket.closed).toEqual({ code: 1008, reason: 'TICKET_INVALID' });
    // Not at once: a stock client would be back before the next line.
    expect(performance.now() - sentAt).toBeGreaterThan(500);
  });

  test.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['no ticket', '{"method":"connectionParams","data":{}}'],
    ['a ticket that is no string', '{"method":"connectionParams","data":{"ticket":7}}'],
    ['no data', '{"method":"connectionParams"}'],
  ])('%s is refused with a code', async (_, frame) => {
    await using server = await startTestServer();
    await using socket = openSocket(`${server.url}/trpc?connectionParams=1`);
    await socket.opened;
    socket.sendRaw(frame);
    expect(await socket.next()).toMatchObject({
      id: null,
      error: { data: { reason: expect.stringMatching(/^(BAD_REQUEST|UNAUTHORIZED)$/), traceId: expect.any(String) } },
    });
    expect((await socket.closed).code).toBe(1008);
  });

  test('whoever says nothing is told and closed', async () => {
    await using server = await startTestServer();
    await using socket = openSocket(`${server.url}/trpc?connectionParams=1`);
    await socket.opened;
    expect(await socket.next()).toMatchObject({ id: null, error: { data: { reason: 'UNAUTHORIZED' } } });
    expect(await socket.closed).toEqual({ code: 1008, reason: 'UNAUTHORIZED' });
  }, 15_000);

  test('strangers are capped', async () => {
    await using server = await startTestServer({ env: { MAX_UNAUTHENTICATED_SOCKETS: '1' } });
    await using first = openSocket(`${server.url}/trpc?connectionParams=1`);
    await first.opened;
    const { status, body } = await refusedUpgrade(`${server.url}/trpc?connectionParams=1`);
    expect([status, body.code]).toEqual([429, 'CONNECTION_LIMIT']);
    first.send({ method: 'connectionParams', data: { ticket: await server.ticket() } });
    first.send(ask);
    await first.next();
    await using second = openSocket(`${server.url}/trpc?connectionParams=1`);
    expect(await second.opened).toBe(true);
  });

  test('a bound ticket opens only for who reveals the nonce', async () => {
    await using server = await startTestServer();
    const nonce = 'a nonce of the client';
    const binding = createHash('sha256').update(nonce).digest('hex');
    const headers = { authorization: `Bearer ${await server.token()}` };
    const issue = async () => {
      const response = await fetch(`${server.url}/ws-ticket`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ binding }),
      });
      return ((await response.json()) as { ticket: string }).ticket;
    };
    expect((await refusedUpgrade(`${server.url}/trpc?ticket=${await issue()}`)).body.code).toBe('TICKET_INVALID');
    for (const [given, answer] of [
      ['wrong', { id: null, error: { data: { reason: 'TICKET_INVALID' } } }],
      [nonce, { id: 1, result: { data: { status: 'ok' } } }],
    ] as const) {
      await using socket = openSocket(`${server.url}/trpc?connectionParams=1&ticket=${await issue()}`);
      await socket.opened;
      socket.send({ method: 'connectionParams', data: { nonce: given } });
      if (given === nonce) socket.send(ask);
      expect(await socket.next()).toMatchObject(answer);
    }
  });
});
