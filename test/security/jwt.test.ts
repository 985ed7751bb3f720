import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose';
import { postTicket } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { type Server, startServer } from '../harness/server.ts';
import { mintToken, testSecret } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { expectNoSecrets } from '../wire/each-server.ts';

const issuer = 'https://id.test';
const audience = 'usher';
const claims = () => ({ sub: 'ada', sid: 's1', iss: issuer, aud: audience, exp: Math.floor(Date.now() / 1_000) + 600 });
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

let keySet: ReturnType<typeof Bun.serve>;
let server: Server;
let rsa: Awaited<ReturnType<typeof generateKeyPair>>;
let strangersKey: Awaited<ReturnType<typeof generateKeyPair>>;
let publicPem: string;
let publicJwk: JWK;
let foreignFetches = 0;

beforeAll(async () => {
  rsa = await generateKeyPair('RS256', { extractable: true });
  strangersKey = await generateKeyPair('RS256', { extractable: true });
  publicPem = await exportSPKI(rsa.publicKey);
  publicJwk = { ...(await exportJWK(rsa.publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' };
  const foreign = async () => ({ keys: [{ ...(await exportJWK(strangersKey.publicKey)), kid: 'k1', alg: 'RS256' }] });
  keySet = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      if (new URL(request.url).pathname === '/keys') return Response.json({ keys: [publicJwk] });
      foreignFetches += 1;
      return Response.json(await foreign());
    },
  });
  server = await startServer({
    env: { LOG_LEVEL: 'trace', JWT_JWKS_URL: `${keySet.url}keys`, JWT_ISSUER: issuer, JWT_AUDIENCE: audience },
  });
});
afterAll(async () => {
  expectNoSecrets(server.lines);
  await server.kill();
  await keySet.stop(true);
});

const signed = (header: Record<string, unknown> = {}, payload: Record<string, unknown> = {}, key = rsa.privateKey) =>
  new SignJWT({ ...claims(), ...payload }).setProtectedHeader({ alg: 'RS256', kid: 'k1', ...header }).sign(key);
const hmac = (header: unknown, payload: unknown, secret: string, hash = 'sha256') => {
  const input = `${part(header)}.${part(payload)}`;
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`;
};

test('a token of the key set, and one of the secret, are good on every way in', async () => {
  for (const token of [await signed(), hmac({ alg: 'HS256' }, claims(), testSecret)]) {
    expect((await postTicket(server, { token })).status).toBe(200);
    await using client = await openRaw(server, { headers: { authorization: `Bearer ${token}` } });
    expect((await client.query('topic.poll', { topic: 'user:ada' })).error).toBeUndefined();
  }
});

const forgeries: Readonly<Record<string, () => string | Promise<string>>> = {
  'alg none': () => `${part({ alg: 'none' })}.${part(claims())}.`,
  'alg None in capitals': () => `${part({ alg: 'None' })}.${part(claims())}.`,
  'alg none with a signature left on': async () =>
    `${part({ alg: 'none' })}.${part(claims())}.${(await signed()).split('.')[2]}`,
  'no alg': () => `${part({})}.${part(claims())}.x`,
  'HS256 signed with the public key as text': () => hmac({ alg: 'HS256', kid: 'k1' }, claims(), publicPem),
  'HS256 signed with the public key as JWK': () =>
    hmac({ alg: 'HS256', kid: 'k1' }, claims(), JSON.stringify(publicJwk)),
  'HS256 signed with the modulus': () => hmac({ alg: 'HS256', kid: 'k1' }, claims(), publicJwk.n as string),
  'HS256 signed with nothing': () => hmac({ alg: 'HS256' }, claims(), ''),
  'HS512 signed with the secret': () => hmac({ alg: 'HS512' }, claims(), testSecret, 'sha512'),
  'RS256 said, HMAC made with the secret': () => hmac({ alg: 'RS256', kid: 'k1' }, claims(), testSecret),
  'a key of its own in the header': async () =>
    signed({ jwk: await exportJWK(strangersKey.publicKey) }, {}, strangersKey.privateKey),
  'a key set of its own in the header': () => signed({ jku: `${keySet.url}foreign` }, {}, strangersKey.privateKey),
  'a certificate address in the header': () => signed({ x5u: `${keySet.url}foreign` }, {}, strangersKey.privateKey),
  'the right kid, another key': () => signed({}, {}, strangersKey.privateKey),
  'a kid that is a path': () => signed({ kid: '../../../../dev/null' }, {}, strangersKey.privateKey),
  'a critical extension nobody knows': () => hmac({ alg: 'HS256', crit: ['x'], x: 1 }, claims(), testSecret),
  'a payload changed after signing': async () => {
    const [header, , signature] = (await signed()).split('.');
    return `${header}.${part({ ...claims(), sub: 'root' })}.${signature}`;
  },
  'a signature cut short': async () => (await signed()).slice(0, -10),
  'another issuer': () => signed({}, { iss: 'https://evil.test' }),
  'another audience': () => signed({}, { aud: 'billing' }),
  'no audience': () => signed({}, { aud: undefined }),
  'an end that has passed': () => signed({}, { exp: 1 }),
  'an end that is text': () => hmac({ alg: 'HS256' }, { ...claims(), exp: 'never' }, testSecret),
  'a beginning that is yet to come': () => signed({}, { nbf: Math.floor(Date.now() / 1_000) + 600 }),
  'no subject': () => signed({}, { sub: undefined }),
  'a subject that is a list': () => hmac({ alg: 'HS256' }, { ...claims(), sub: ['ada', 'root'] }, testSecret),
  'a scope that is a list': () => hmac({ alg: 'HS256' }, { ...claims(), scope: ['admin'] }, testSecret),
  'topics that are text': () => hmac({ alg: 'HS256' }, { ...claims(), topics: '*' }, testSecret),
  'a payload that is no object': () => hmac({ alg: 'HS256' }, 'ada', testSecret),
  'a token of 10 kB': () => hmac({ alg: 'HS256' }, { ...claims(), padding: 'x'.repeat(10_000) }, testSecret),
  'two tokens': async () => `${await signed()},${await signed()}`,
  'four parts': async () => `${await signed()}.x`,
  'a JWE': () => `${part({ alg: 'dir', enc: 'A256GCM' })}..x.x.x`,
};

test.each(Object.keys(forgeries))('%s is UNAUTHORIZED on every way in', async (name) => {
  const token = await (forgeries[name] as () => string | Promise<string>)();
  const answers = [await postTicket(server, { token }), await tryUpgrade(server, '/trpc', { token })];
  for (const answer of answers) {
    const { message } = expectRefusal(answer, 401, 'UNAUTHORIZED');
    expect(message).not.toContain(token.slice(0, 20));
    expect(answer.text).not.toContain('stack');
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
  }
});

test('a token without a session is MISSING_SESSION, whichever key signed it', async () => {
  for (const token of [
    await signed({}, { sid: undefined }),
    hmac({ alg: 'HS256' }, { ...claims(), sid: '' }, testSecret),
  ]) {
    expectRefusal(await postTicket(server, { token }), 401, 'MISSING_SESSION');
  }
});

test.each([
  ['no scheme', async () => mintToken()],
  ['another scheme', async () => `Basic ${await mintToken()}`],
  ['Bearer alone', async () => 'Bearer'],
  ['Bearer and blanks', async () => 'Bearer   '],
  ['a token in quotes', async () => `Bearer "${await mintToken()}"`],
])('an Authorization header with %s is UNAUTHORIZED', async (_, header) => {
  expectRefusal(await postTicket(server, { headers: { authorization: await header() } }), 401, 'UNAUTHORIZED');
});

test('a token in the query is no token', async () => {
  const token = await signed();
  for (const name of ['token', 'access_token', 'authorization']) {
    expectRefusal(await tryUpgrade(server, `/trpc?${name}=${token}`), 401, 'UNAUTHORIZED');
  }
});

test('no address a token names is ever asked', () => {
  expect(foreignFetches).toBe(0);
});
