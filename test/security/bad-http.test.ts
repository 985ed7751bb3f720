import { expect, test } from 'bun:test';
import { get, issueTicket, mutate, postTicket, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { onEachServer } from '../wire/each-server.ts';
import { exchange, upgradeRequest } from './raw-http.ts';

const kinds = ['Bun, memory', 'Deno, memory'] as const;

onEachServer(
  (server, kind) => {
    const isAlive = async () => expect((await get(server(), '/healthz')).status).toBe(200);

    test.each([1_200_000, 3_000_000, 20_000_000])(
      'a body of %i bytes gets PAYLOAD_TOO_LARGE everywhere it is read',
      async (size) => {
        const token = await publisherToken();
        const body = `"${'x'.repeat(size)}"`;
        expectRefusal(await postTicket(server(), { token, body }), 413, 'PAYLOAD_TOO_LARGE');
        const published = await mutate(server(), 'topic.publish', body, { token });
        expectRefusal(published, 413, 'PAYLOAD_TOO_LARGE');
        expect(JSON.parse(published.text).error.data.code).toBe('PAYLOAD_TOO_LARGE');
        const health = await fetch(`${server().url}/healthz`, { method: 'POST', body });
        expect(health.status).toBe(200);
        await isAlive();
      },
    );

    test('a chunked body without a length is counted while it comes', async () => {
      const head = `POST /ws-ticket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await mintToken()}\r\n`;
      const chunk = `${(100_000).toString(16)}\r\n${' '.repeat(100_000)}\r\n`;
      const answer = await exchange(server(), `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(12)}0\r\n\r\n`);
      expectRefusal(answer, 413, 'PAYLOAD_TOO_LARGE');
    });

    test('a request without a Host is answered, one with an impossible Host gets BAD_REQUEST', async () => {
      expect((await exchange(server(), 'GET /healthz HTTP/1.0\r\n\r\n')).status).toBe(200);
      expectRefusal(await exchange(server(), 'GET /trpc/no.such HTTP/1.0\r\n\r\n'), 404, 'BAD_REQUEST');
      expectRefusal(await exchange(server(), 'GET /healthz HTTP/1.1\r\nHost: [::\r\n\r\n'), 400, 'BAD_REQUEST');
    });

    test.each([
      ['no key', { 'sec-websocket-key': null }, 'GET'],
      ['a key that is none', { 'sec-websocket-key': 'x' }, 'GET'],
      ['no Connection', { connection: 'close' }, 'GET'],
      ['a POST', {}, 'POST'],
    ] as const)(
      'a handshake with %s gets BAD_REQUEST, and keeps its ticket for the next try',
      async (_, changes, method) => {
        const ticket = await issueTicket(server(), await mintToken());
        expectRefusal(
          await exchange(server(), upgradeRequest(`/trpc?ticket=${ticket}`, changes, method)),
          400,
          'BAD_REQUEST',
        );
        await using client = await openRaw(server(), { ticket });
        expect((await client.query('health.live')).error).toBeUndefined();
        const { text } = await get(server(), '/metrics');
        expect(/usher_ticket_passes_total\{source="in_process"\} (\d+)/.exec(text)?.[1] ?? '0').toBe('0');
        await isAlive();
      },
    );

    test('a handshake of another WebSocket version is refused', async () => {
      const token = await mintToken();
      const changes = { authorization: `Bearer ${token}`, 'sec-websocket-version': '8' };
      // Bun refuses it by itself, and says which version it wants.
      expect([400, 426]).toContain((await exchange(server(), upgradeRequest('/trpc', changes))).status);
    });

    test.each([
      ['two lengths', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}'],
      ['a length and chunks', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
      ['a chunk of no size', 'Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n'],
    ])('a body with %s is cut off, and nothing else is harmed', async (_, rest) => {
      const { status } = await exchange(server(), `POST /ws-ticket HTTP/1.1\r\nHost: x\r\n${rest}`);
      expect([0, 400, 401]).toContain(status);
      await isAlive();
    });

    test.each([
      ['a header of 100 kB', `GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: ${'y'.repeat(100_000)}\r\n\r\n`],
      ['a url of 100 kB', `GET /trpc/${'y'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
      ['2,000 headers', `GET /healthz HTTP/1.1\r\nHost: x\r\n${'X-A: y\r\n'.repeat(2_000)}\r\n`],
      ['a TLS greeting', '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03'],
      ['NUL in the path', 'GET /trpc/\x00 HTTP/1.1\r\nHost: x\r\n\r\n'],
    ])('%s is refused by the runtime, and nothing else is harmed', async (_, request) => {
      const { status } = await exchange(server(), request);
      expect([0, 400, 404, 414, 431, 505]).toContain(status);
      await isAlive();
    });

    test('an upgrade with a url above 4,096 characters gets BAD_REQUEST', async () => {
      expectRefusal(await exchange(server(), upgradeRequest(`/trpc?ticket=${'x'.repeat(5_000)}`)), 400, 'BAD_REQUEST');
    });

    test('1,000 calls in one HTTP batch get BAD_REQUEST with a trace id; 100 are answered', async () => {
      const batch = (size: number) =>
        fetch(`${server().url}/trpc/${Array(size).fill('health.live').join(',')}?batch=1&input=%7B%7D`);
      const refused = await batch(1_000);
      expect(refused.status).toBe(400);
      expect(await refused.json()).toMatchObject({
        error: { data: { reason: 'BAD_REQUEST', traceId: expect.stringMatching(/^[\da-f]{32}$/) } },
      });
      const answered = await batch(100);
      expect(await answered.json()).toHaveLength(100);
    });

    test.each([
      ['/trpc/%zz', 400],
      ['/trpc/topic.state?input=%7B', 400],
      ['/trpc/topic.state?connectionParams=%7Bbad&input=%7B%7D', 400],
      ['/trpc/topic.state?batch=1&input=%5B1', 400],
      ['/trpc/__proto__', 404],
      ['/trpc/constructor.name', 404],
      ['/trpc/topic.__proto__.publish', 404],
      ['/trpc/toString', 404],
      ['/trpc/', 404],
      ['/trpc/health.live,health.ready', 404],
    ])('GET %s gets BAD_REQUEST with a trace id', async (path, status) => {
      const answer = await get(server(), path, { token: await mintToken() });
      const error = JSON.parse(answer.text.replace(/^\[(.*)\]$/s, '$1')).error;
      expect([answer.status, error.data.reason]).toEqual([status, 'BAD_REQUEST']);
      expect(error.data.traceId).toMatch(/^[\da-f]{32}$/);
      expect(answer.text).not.toContain('stack');
    });

    test.each(['PUT', 'DELETE', 'PATCH'])('%s of a procedure gets BAD_REQUEST', async (method) => {
      const headers = { authorization: `Bearer ${await publisherToken()}` };
      const response = await fetch(`${server().url}/trpc/topic.publish`, { method, headers });
      expect(response.status).toBe(405);
      expect(await response.json()).toMatchObject({ error: { data: { reason: 'BAD_REQUEST' } } });
    });

    test('a stranger path never names what is inside', async () => {
      for (const path of ['/', '/trpc', '/..%2f..%2fetc/passwd', '//evil.example/healthz', '/metrics/..;/x', '/.env']) {
        const answer = await get(server(), path);
        expectRefusal(answer, 404, 'WRONG_PATH');
        expect(answer.text).not.toMatch(/\/work|node_modules|at \w+ \(/);
      }
    });

    test(`${kind}: what the log calls errors are only faults of ours, and there were none`, async () => {
      await query(server(), 'topic.state', { topic: 'job:1' }, { token: await mintToken() });
      expect(
        server()
          .logs()
          .filter((line) => line.level === 'error' || line.level === 'fatal'),
      ).toEqual([]);
    });
  },
  { kinds },
);
