import { describe, expect, test } from 'bun:test';
import { mutate, postTicket, query } from '../harness/http.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { mintToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { onEachServer } from '../wire/each-server.ts';

const kinds = ['Bun, memory', 'Deno, memory'] as const;
const foreign = [
  'https://evil.example',
  'https://app.example.evil.example',
  'https://evil.example?https://app.example',
  'https://xapp.example',
  'https://sub.app.example',
  'http://app.example',
  'https://app.example:8443',
  'https://APP.example',
  'https://app.example/',
  'null',
  'file://',
  '*',
  '',
];

describe('with an allow-list', () => {
  onEachServer(
    (server) => {
      test.each(foreign)('an upgrade from %j is refused before its ticket is looked at', async (origin) => {
        const token = await mintToken();
        const ticket = (await postTicket(server(), { token })).data?.ticket;
        const refused = await tryUpgrade(server(), `/trpc?ticket=${ticket}`, { headers: { origin } });
        if (origin === '') {
          // No page sends an empty Origin; it is none of the list all the same.
          expect([101, 403]).toContain(refused.status);
          return;
        }
        expectRefusal(refused, 403, 'ORIGIN_NOT_ALLOWED');
        expect((await tryUpgrade(server(), `/trpc?ticket=${ticket}`)).status).toBe(101);
      });

      test('an upgrade from the list, from the same origin, and from no page is taken', async () => {
        const token = await mintToken();
        for (const origin of ['https://app.example', 'capacitor://localhost', server().url]) {
          expect((await tryUpgrade(server(), '/trpc', { token, headers: { origin } })).status).toBe(101);
        }
        expect((await tryUpgrade(server(), '/trpc', { token })).status).toBe(101);
      });

      test.each(['/ws-ticket', '/trpc/topic.publish', '/healthz'])(
        'a page of the list may ask %s, and read the answer',
        async (path) => {
          const origin = 'https://app.example';
          const headers = {
            origin,
            'access-control-request-method': 'POST',
            'access-control-request-headers': 'authorization,content-type',
          };
          const asked = await fetch(server().url + path, { method: 'OPTIONS', headers });
          expect(asked.status).toBe(204);
          expect(asked.headers.get('access-control-allow-origin')).toBe(origin);
          expect(asked.headers.get('access-control-allow-methods')).toContain('POST');
          expect(asked.headers.get('access-control-allow-headers')).toMatch(/authorization.*content-type/);
          expect(asked.headers.get('vary')).toContain('Origin');
          const answered = await fetch(server().url + path, { method: 'POST', headers: { origin }, body: '{}' });
          expect(answered.headers.get('access-control-allow-origin')).toBe(origin);
          expect(answered.headers.get('access-control-expose-headers')).toMatch(/retry-after.*x-trace-id/i);
          // Without a cookie there is nothing a browser could send along by itself.
          expect(answered.headers.get('access-control-allow-credentials')).toBeNull();
        },
      );

      test.each(foreign.filter((origin) => origin !== ''))(
        'a page of %j is told nothing it could read',
        async (origin) => {
          const headers = { origin, 'access-control-request-method': 'POST' };
          const asked = await fetch(`${server().url}/ws-ticket`, { method: 'OPTIONS', headers });
          expect(asked.status).toBe(403);
          for (const response of [asked, await fetch(`${server().url}/healthz`, { headers: { origin } })]) {
            expect([...response.headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
          }
        },
      );

      test('every answer forbids to be framed, sniffed and followed', async () => {
        for (const path of ['/healthz', '/nowhere', '/trpc/health.live', '/ws-ticket', '/metrics']) {
          const { headers } = await fetch(server().url + path);
          expect(headers.get('x-content-type-options')).toBe('nosniff');
          expect(headers.get('referrer-policy')).toBe('no-referrer');
          expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
        }
      });
    },
    { kinds, env: { ALLOWED_ORIGINS: 'https://app.example,capacitor://localhost' } },
  );
});

describe('without an allow-list', () => {
  onEachServer(
    (server) => {
      test('only the same origin is taken', async () => {
        const token = await mintToken();
        expect((await tryUpgrade(server(), '/trpc', { token, headers: { origin: server().url } })).status).toBe(101);
        expectRefusal(
          await tryUpgrade(server(), '/trpc', { token, headers: { origin: 'https://app.example' } }),
          403,
          'ORIGIN_NOT_ALLOWED',
        );
      });
    },
    { kinds },
  );
});

describe('with a cookie', () => {
  onEachServer(
    (server) => {
      const withCookie = async (origin?: string) => ({
        headers: { cookie: `other=1; session=${await mintToken({ scopes: ['publish'] })}`, ...(origin && { origin }) },
      });

      test('a page of an allowed origin acts by it', async () => {
        for (const origin of ['https://app.example', server().url]) {
          const options = await withCookie(origin);
          expect((await postTicket(server(), options)).status).toBe(200);
          expect((await query(server(), 'topic.poll', { topic: 'user:alice' }, options)).status).toBe(200);
          expect((await tryUpgrade(server(), '/trpc', options)).status).toBe(101);
        }
        const answer = await fetch(`${server().url}/ws-ticket`, {
          method: 'POST',
          ...(await withCookie('https://app.example')),
        });
        expect(answer.headers.get('access-control-allow-credentials')).toBe('true');
      });

      test('a foreign page, or a request that does not tell its page, cannot act by it', async () => {
        for (const origin of ['https://evil.example', 'null', undefined]) {
          const options = await withCookie(origin);
          expectRefusal(await postTicket(server(), options), 403, 'ORIGIN_NOT_ALLOWED');
          const event = { topic: 'public:forged', event: { name: 'e' } };
          expectRefusal(await mutate(server(), 'topic.publish', event, options), 403, 'ORIGIN_NOT_ALLOWED');
          expectRefusal(await tryUpgrade(server(), '/trpc', options), 403, 'ORIGIN_NOT_ALLOWED');
        }
        const topic = { topic: 'public:forged' };
        const page = await query<{ events: unknown[] }>(server(), 'topic.history', topic, { token: await mintToken() });
        expect(page.data?.events).toEqual([]);
      });

      test('a header goes before the cookie', async () => {
        const options = { ...(await withCookie('https://evil.example')), token: await mintToken({ userId: 'header' }) };
        expect((await query(server(), 'topic.poll', { topic: 'user:header' }, options)).status).toBe(200);
      });
    },
    { kinds: ['Bun, memory'], env: { ALLOWED_ORIGINS: 'https://app.example', JWT_COOKIE: 'session' } },
  );
});
