import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Code, codes } from '@usher/contracts';
import { generateKeyPair, SignJWT } from 'jose';
import { type Answer, issueTicket, mutate, postTicket, query } from '../harness/http.ts';
import { freePort } from '../harness/port.ts';
import { startProxy } from '../harness/proxy.ts';
import { openRaw } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { type Server, startServer } from '../harness/server.ts';
import { adminToken, mintToken, publisherToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually, within } from '../harness/wait.ts';
import { isReady } from './each-server.ts';

interface Close {
  readonly code: number;
  readonly reason: string;
}

/** How a code is brought about from outside: over HTTP, or as the end of a socket. */
interface Producer {
  readonly where: string;
  readonly http?: () => Promise<Answer>;
  readonly close?: () => Promise<Close>;
}

let server: Server;
let withoutRedis: Server;
let strict: Server;
let directory: string;

const started = async (
  env: Readonly<Record<string, string>>,
  use: (server: Server) => Promise<Answer | Close>,
  runtime: 'bun' | 'deno' = 'bun',
): Promise<never> => {
  await using own = await startServer({ env, runtime });
  return (await use(own)) as never;
};

const publish = async (target: Server, more: Readonly<Record<string, unknown>> = {}) =>
  mutate(
    target,
    'topic.publish',
    { topic: 'public:codes', event: { name: 'e' }, ...more },
    { token: await publisherToken() },
  );

/** A WebSocket that subscribes and never reads what comes. */
async function subscribeWithoutReading(target: Server): Promise<{ readonly end: () => Promise<Close> }> {
  const socket = connect(target.port, '127.0.0.1');
  const frame = (text: string): Buffer => {
    const payload = Buffer.from(text);
    const head = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]);
    return Buffer.concat([head, payload]);
  };
  let received = '';
  socket.on('data', (chunk) => {
    received = (received + chunk.toString('latin1')).slice(-4_000);
  });
  socket.write(
    `GET /trpc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await mintToken({ userId: 'slow' })}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  await eventually(() => received.includes(' 101 '));
  socket.write(
    frame('{"id":1,"method":"subscription","params":{"path":"topic.subscribe","input":{"topic":"public:codes"}}}'),
  );
  await eventually(() => received.includes('snapshot'));
  socket.pause();
  return {
    async end() {
      const cut = new Promise<Close>((resolve) => socket.once('close', () => resolve({ code: 1006, reason: '' })));
      // A close frame, as far from the end as its length says.
      const told = eventually(() => {
        const at = received.lastIndexOf('\x88');
        if (at < 0 || received.length !== at + 2 + received.charCodeAt(at + 1)) return false;
        return {
          code: (received.charCodeAt(at + 2) << 8) | received.charCodeAt(at + 3),
          reason: received.slice(at + 4),
        };
      });
      socket.resume();
      try {
        return await Promise.any([cut, told]);
      } finally {
        told.catch(() => {});
        socket.destroy();
      }
    },
  };
}

const overwhelm = async (target: Server): Promise<Close> => {
  const slow = await subscribeWithoutReading(target);
  for (let count = 0; count < 150; count++) {
    await publish(target, { event: { name: 'e', data: 'x'.repeat(60_000) } });
  }
  return slow.end();
};

const producers: Readonly<Record<Code, readonly Producer[]>> = {
  UNAUTHORIZED: [
    { where: 'POST /ws-ticket without a token', http: () => postTicket(server) },
    {
      where: 'a call with a bad token',
      http: () => query(server, 'topic.poll', { topic: 'public:a' }, { token: 'bad' }),
    },
    {
      where: 'a call with an expired token',
      http: async () =>
        query(server, 'topic.poll', { topic: 'public:a' }, { token: await mintToken({ expiresInSeconds: -1 }) }),
    },
    { where: 'an upgrade with nothing', http: () => tryUpgrade(server, '/trpc') },
    {
      where: 'connectionParams without a ticket',
      close: async () => {
        await using client = await openRaw(server, { connectionParams: {} });
        return await client.closed;
      },
    },
  ],
  MISSING_SESSION: [
    { where: 'POST /ws-ticket', http: async () => postTicket(server, { token: await mintToken({ sessionId: null }) }) },
    {
      where: 'an upgrade',
      http: async () => tryUpgrade(server, '/trpc', { token: await mintToken({ sessionId: null }) }),
    },
  ],
  TICKET_INVALID: [
    {
      where: 'an upgrade with an unknown ticket',
      http: () => tryUpgrade(server, `/trpc?ticket=ut1_${'A'.repeat(43)}`),
    },
    {
      where: 'an upgrade with a used ticket',
      http: async () => {
        const ticket = await issueTicket(server, await mintToken());
        await using client = await openRaw(server, { ticket });
        await client.query('health.live');
        return await tryUpgrade(server, `/trpc?ticket=${ticket}`);
      },
    },
    {
      where: 'connectionParams with an unknown ticket',
      close: async () => {
        await using client = await openRaw(server, { connectionParams: { ticket: `ut1_${'A'.repeat(43)}` } });
        return await client.closed;
      },
    },
  ],
  FORBIDDEN: [
    {
      where: 'publishing without the scope',
      http: async () => mutate(server, 'topic.delete', { topic: 'job:1' }, { token: await mintToken() }),
    },
    {
      where: 'operating without the scope',
      http: async () => query(server, 'connection.list', {}, { token: await mintToken() }),
    },
  ],
  AUTH_UNAVAILABLE: [
    {
      where: 'a token of a key set that cannot be fetched',
      http: async () =>
        started({ JWT_JWKS_URL: `http://127.0.0.1:${await freePort()}/keys` }, async (own) => {
          const { privateKey } = await generateKeyPair('ES256');
          const jwt = new SignJWT({ sid: 's' }).setProtectedHeader({ alg: 'ES256', kid: 'k' }).setSubject('ada');
          return postTicket(own, { token: await jwt.setExpirationTime('1h').sign(privateKey) });
        }),
    },
  ],
  ORIGIN_NOT_ALLOWED: [
    {
      where: 'an upgrade of a foreign page',
      http: async () =>
        tryUpgrade(server, '/trpc', { token: await mintToken(), headers: { origin: 'https://evil.example' } }),
    },
  ],
  WRONG_PATH: [{ where: 'an upgrade elsewhere', http: () => tryUpgrade(server, '/socket.io') }],
  TOPIC_UNKNOWN: [
    {
      where: 'a topic that is not there',
      http: async () => query(server, 'topic.state', { topic: 'job:none' }, { token: await publisherToken() }),
    },
    { where: 'a kind that is not there', http: () => publish(server, { topic: 'nosuch:1' }) },
  ],
  TOPIC_CLOSED: [
    {
      where: 'publishing after the end',
      http: async () => {
        const more = { topic: 'public:closed' };
        await publish(server, more);
        await mutate(server, 'topic.close', more, { token: await publisherToken() });
        return publish(server, more);
      },
    },
  ],
  BAD_REQUEST: [
    { where: 'a topic that is none', http: () => publish(server, { topic: 'nothing' }) },
    {
      where: 'POST /ws-ticket with a body that is no JSON',
      http: async () => postTicket(server, { token: await mintToken(), body: '{' }),
    },
  ],
  PAYLOAD_TOO_LARGE: [
    {
      where: 'a payload above the limit',
      http: () => publish(server, { event: { name: 'e', data: 'x'.repeat(65_537) } }),
    },
    { where: 'a state above the limit', http: () => publish(server, { state: 'x'.repeat(262_145) }) },
    {
      where: 'a body above the limit',
      http: async () => postTicket(server, { token: await mintToken(), body: `"${'x'.repeat(2_000_000)}"` }),
    },
    {
      where: 'a frame above the limit',
      close: async () => {
        await using client = await openRaw(server, { token: await mintToken() });
        await client.query('health.live');
        client.send(`"${'x'.repeat(1_500_000)}"`);
        return await client.closed;
      },
    },
  ],
  RATE_LIMITED: [
    {
      where: 'more tickets than a user may have',
      http: async () => {
        const token = await mintToken({ userId: 'greedy' });
        await postTicket(strict, { token });
        return postTicket(strict, { token });
      },
    },
    {
      where: 'more events than a user may publish',
      http: async () => {
        const answers = await Promise.all(Array.from({ length: 10 }, () => publish(strict)));
        return answers.find((answer) => answer.status !== 200) as Answer;
      },
    },
    {
      where: 'too much before the connection was accepted',
      close: async () => {
        await using redis = await startRedis();
        await using proxy = await startProxy(redis.port);
        return await started({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` }, async (own) => {
          await isReady(own);
          const ticket = await issueTicket(own, await mintToken());
          // The claim is on its way for long enough to be overtaken by frames.
          proxy.delay(200, 'up');
          await using client = await openRaw(own, { ticket });
          for (let count = 0; count < 200; count++) client.send('[]');
          return await client.closed;
        });
      },
    },
  ],
  CONNECTION_LIMIT: [
    {
      where: 'an upgrade above the limit',
      http: async () => {
        const headers = { authorization: `Bearer ${await mintToken({ userId: 'second' })}` };
        await using client = await openRaw(strict, { headers });
        await client.query('health.live');
        return await tryUpgrade(strict, '/trpc', { headers });
      },
    },
    {
      where: 'the oldest connection where the newest pushes it out',
      close: () =>
        started({ MAX_CONNECTIONS_PER_USER: '1', CONNECTION_LIMIT_POLICY: 'evict' }, async (own) => {
          const token = await mintToken();
          await using oldest = await openRaw(own, { token });
          await oldest.query('health.live');
          await using newest = await openRaw(own, { token });
          await newest.query('health.live');
          return await oldest.closed;
        }),
    },
  ],
  WS_TICKET_REDIS_NOT_READY: [
    {
      where: 'POST /ws-ticket without Redis',
      http: async () => postTicket(withoutRedis, { token: await mintToken() }),
    },
    {
      where: 'an upgrade with a ticket without Redis',
      http: async () => tryUpgrade(withoutRedis, `/trpc?ticket=ut1_${'A'.repeat(43)}`),
    },
  ],
  REDIS_NOT_READY: [
    {
      where: 'a durable publish without Redis',
      http: () => publish(withoutRedis),
    },
    {
      where: 'a read that nothing local can answer',
      http: async () => query(withoutRedis, 'topic.history', { topic: 'public:a' }, { token: await mintToken() }),
    },
  ],
  DRAINING: [
    {
      where: 'an upgrade while the instance leaves',
      http: () =>
        started({ DRAIN_TIMEOUT_MS: '5000' }, async (own) => {
          await using client = await openRaw(own, { token: await mintToken() });
          await client.query('health.live');
          own.signal('SIGTERM');
          await own.log((line) => line.msg === 'draining' || line.msg === 'leaving');
          return await tryUpgrade(own, '/trpc', { token: await mintToken() });
        }),
    },
    {
      where: 'a client that stays to the end',
      close: () =>
        started({ DRAIN_TIMEOUT_MS: '500' }, async (own) => {
          await using client = await openRaw(own, { token: await mintToken() });
          await client.query('health.live');
          own.signal('SIGTERM');
          return await client.closed;
        }),
    },
  ],
  SLOW_CONSUMER: [{ where: 'a socket that does not read, on Deno', close: () => started({}, overwhelm, 'deno') }],
  SESSION_REVOKED: [
    {
      where: 'a call after the revocation',
      http: async () => {
        await mutate(server, 'session.revoke', { sessionId: 'revoked-1' }, { token: await adminToken() });
        return postTicket(server, { token: await mintToken({ sessionId: 'revoked-1' }) });
      },
    },
    {
      where: 'a live connection',
      close: async () => {
        await using client = await openRaw(server, { token: await mintToken({ sessionId: 'revoked-2' }) });
        await client.query('health.live');
        await mutate(server, 'session.revoke', { sessionId: 'revoked-2' }, { token: await adminToken() });
        return await client.closed;
      },
    },
  ],
  TOKEN_EXPIRED: [
    {
      where: 'a ticket whose token has ended meanwhile',
      http: async () => {
        const ticket = await issueTicket(server, await mintToken({ expiresInSeconds: 1 }));
        const until = (Math.floor(Date.now() / 1_000) + 1) * 1_000;
        await eventually(() => Date.now() > until);
        return tryUpgrade(server, `/trpc?ticket=${ticket}`);
      },
    },
    {
      where: 'a connection whose token ends',
      close: async () => {
        await using client = await openRaw(server, { token: await mintToken({ expiresInSeconds: 2 }) });
        return await client.closed;
      },
    },
  ],
  INTERNAL: [
    {
      where: "an application's own function that throws",
      http: async () => {
        const token = await publisherToken();
        await mutate(server, 'topic.create', { topic: 'broken:1' }, { token });
        return query(server, 'topic.state', { topic: 'broken:1' }, { token });
      },
    },
  ],
};

/** Columns of the table that nothing outside can bring about, and why. */
const unproduced: Readonly<Record<string, string>> = {
  'MISSING_SESSION close': 'tokens are read before the upgrade only',
  'FORBIDDEN close': 'a call without the scope is refused; its connection stays',
  'INTERNAL close': 'would be a fault of ours while a connection is accepted',
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'usher-topics-'));
  const path = join(directory, 'topics.ts');
  const contracts = new URL('../../contracts/src/index.ts', import.meta.url).pathname;
  const zod = Bun.resolveSync('zod', new URL('../../contracts/src', import.meta.url).pathname);
  await Bun.write(
    path,
    `import { defineTopic } from ${JSON.stringify(contracts)};
    import { z } from ${JSON.stringify(zod)};
    export default [defineTopic({
      name: 'broken', state: z.unknown(), events: 'any',
      load: () => { throw new Error('planted: /secret/path and a stack'); },
    })];`,
  );
  [server, withoutRedis, strict] = await Promise.all([
    startServer({ env: { TOPICS_MODULE: path } }),
    startServer({ env: { REDIS_URL: `redis://127.0.0.1:${await freePort()}` } }),
    startServer({ env: { TICKETS_PER_MINUTE: '1', PUBLISHES_PER_SECOND: '2', MAX_CONNECTIONS_PER_USER: '1' } }),
  ]);
});
afterAll(async () => {
  await Promise.all([server, withoutRedis, strict].map((each) => each.kill()));
  await rm(directory, { recursive: true, force: true });
});

describe.each(Object.keys(codes) as Code[])('%s', (code) => {
  const { http, trpc, close, client } = codes[code];
  for (const producer of producers[code]) {
    if (producer.http) {
      const produce = producer.http;
      test.concurrent(`is answered with ${http}: ${producer.where}`, async () => {
        const answer = await produce();
        const refusal = expectRefusal(answer, http as number, code);
        expect(refusal.message).toMatch(/\S/);
        expect(answer.text).not.toMatch(/stack|planted|node_modules|\.ts:/);
        if (client === 'wait') expect(refusal.retryAfterMs).toBeGreaterThan(0);
        const { error } = JSON.parse(answer.text);
        if (typeof error === 'object') expect([error.data.code, error.data.httpStatus]).toEqual([trpc, http]);
      }, 30_000);
    }
    if (producer.close) {
      const produce = producer.close;
      test.concurrent(`closes with ${close}: ${producer.where}`, async () => {
        expect(await within(produce(), { timeoutMs: 25_000 })).toEqual({ code: close as number, reason: code });
      }, 30_000);
    }
  }

  test('is produced in every column it has, or it is said why not', () => {
    const produced = (column: 'http' | 'close') => producers[code].some((producer) => producer[column] !== undefined);
    if (http !== null) expect(produced('http')).toBe(true);
    if (close !== null) expect(produced('close') || `${code} close` in unproduced).toBe(true);
    if (close === null) expect(produced('close')).toBe(false);
  });
});

test.concurrent('SLOW_CONSUMER is 1006 where the runtime cuts, as Bun does', async () => {
  expect(await started({}, overwhelm)).toEqual({ code: 1006, reason: '' } as never);
}, 30_000);
