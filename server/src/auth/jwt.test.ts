import { afterEach, describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import { exportSPKI, importJWK, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { Secret } from '../config/secret.ts';
import { createLog } from '../log.ts';
import { authRequest, withToken } from './auth-request.fixture.ts';
import { type Issuer, startIssuer } from './issuer.fixture.ts';
import { createJwtAuthenticator, type JwtOptions } from './jwt.ts';
import { createKeySet } from './key-set.ts';
import { createOriginPolicy } from './origin.ts';

const oldSecret = 'the-old-secret-of-at-least-32-bytes!';
const newSecret = 'the-new-secret-of-at-least-32-bytes!';
const nowMs = 1_800_000_000_000;
const claims = { sub: 'ada', sid: 's1', scope: 'publish admin', topics: ['job:*'] };

const sign = (payload: JWTPayload, secret = oldSecret, alg = 'HS256') =>
  new SignJWT({ exp: nowMs / 1_000 + 60, ...payload })
    .setProtectedHeader({ alg })
    .sign(new TextEncoder().encode(secret));

const jwt = (options: Partial<JwtOptions> = {}) =>
  createJwtAuthenticator({ secrets: [new Secret(oldSecret)], now: () => nowMs, ...options });

describe('createJwtAuthenticator() with secrets', () => {
  test('takes the principal from the claims', async () => {
    expect(await jwt()(withToken(await sign(claims)))).toEqual({
      ok: true,
      issuedAt: 0,
      principal: {
        userId: 'ada',
        sessionId: 's1',
        scopes: ['publish', 'admin'],
        topics: ['job:*'],
        expiresAt: nowMs + 60_000,
      },
    });
  });

  test('takes "sessionId" for a session, and neither scopes nor topics for granted', async () => {
    const result = await jwt()(withToken(await sign({ sub: 'ada', sessionId: 's2' })));
    expect(result).toMatchObject({ ok: true, principal: { sessionId: 's2', scopes: [], topics: [] } });
  });

  test('knows two users by two tokens', async () => {
    const authenticate = jwt();
    const results = await Promise.all(
      ['ada', 'bob'].map(async (sub) => authenticate(withToken(await sign({ ...claims, sub })))),
    );
    expect(results.map((result) => result.ok && result.principal.userId)).toEqual(['ada', 'bob']);
  });

  test('accepts both secrets while rotating, and only the new one afterwards', async () => {
    const [before, after] = [withToken(await sign(claims)), withToken(await sign(claims, newSecret))];
    const rotating = jwt({ secrets: [new Secret(newSecret), new Secret(oldSecret)] });
    expect([(await rotating(before)).ok, (await rotating(after)).ok]).toEqual([true, true]);
    const rotated = jwt({ secrets: [new Secret(newSecret)] });
    expect(await rotated(before)).toMatchObject({ ok: false, status: 401, code: 'UNAUTHORIZED' });
    expect((await rotated(after)).ok).toBe(true);
  });

  test('tells a token without session from a bad one', async () => {
    const missing = { ok: false, status: 401, code: 'MISSING_SESSION' };
    expect(await jwt()(withToken(await sign({ sub: 'ada' })))).toMatchObject(missing);
    expect(await jwt()(withToken(await sign({ sub: 'ada', sid: '' })))).toMatchObject(missing);
    expect(await jwt()(withToken(await sign({ sub: 'ada', sid: 7 })))).toMatchObject(missing);
    expect(await jwt()(withToken(await sign({ sub: 'ada' }, newSecret)))).toMatchObject({ code: 'UNAUTHORIZED' });
  });

  test('refuses a token from the moment it expires', async () => {
    const token = withToken(await sign({ ...claims, exp: nowMs / 1_000 }));
    expect(await jwt()(token)).toMatchObject({ code: 'UNAUTHORIZED', message: 'The token has expired' });
    expect((await jwt({ now: () => nowMs - 1 })(token)).ok).toBe(true);
    expect((await jwt({ now: () => nowMs + 60_000 })(token)).ok).toBe(false);
  });

  test('refuses a token it has seen before from the moment it expires', async () => {
    let at = nowMs;
    const authenticate = jwt({ now: () => at });
    const token = withToken(await sign({ ...claims, exp: nowMs / 1_000 + 2 }));
    expect((await authenticate(token)).ok).toBe(true);
    at += 1_999;
    expect((await authenticate(token)).ok).toBe(true);
    at += 1;
    expect(await authenticate(token)).toMatchObject({ code: 'UNAUTHORIZED', message: 'The token has expired' });
  });

  test('does not take a token for one it has seen when only the signature differs', async () => {
    const authenticate = jwt();
    const [good, forged] = [await sign(claims), await sign(claims, newSecret)];
    expect((await authenticate(withToken(good))).ok).toBe(true);
    expect((await authenticate(withToken(forged))).ok).toBe(false);
    expect((await authenticate(withToken(good))).ok).toBe(true);
  });

  test('bears with an issuer whose clock is a little ahead, and no further', async () => {
    expect((await jwt()(withToken(await sign({ ...claims, nbf: nowMs / 1_000 + 4 })))).ok).toBe(true);
    expect((await jwt()(withToken(await sign({ ...claims, nbf: nowMs / 1_000 + 6 })))).ok).toBe(false);
  });

  test('admits a token without exp for good', async () => {
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(oldSecret));
    expect(await jwt()(withToken(token))).toMatchObject({ ok: true, principal: { expiresAt: null } });
  });

  test('wants issuer and audience where they are configured', async () => {
    const authenticate = jwt({ issuer: 'https://id.example', audience: 'usher' });
    const fitting = { ...claims, iss: 'https://id.example', aud: ['usher', 'else'] };
    expect((await authenticate(withToken(await sign(fitting)))).ok).toBe(true);
    for (const wrong of [claims, { ...fitting, aud: 'else' }, { ...fitting, iss: 'https://evil.example' }]) {
      expect(await authenticate(withToken(await sign(wrong)))).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
    }
  });

  for (const [what, wrong] of [
    ['no user', { sub: undefined }],
    ['an empty user', { sub: '' }],
    ['a user that is a number', { sub: 7 as unknown as string }],
    ['a user of 257 characters', { sub: 'x'.repeat(257) }],
    ['scopes that are an array', { scope: ['admin'] }],
    ['topics that are text', { topics: '*' }],
    ['topics that are numbers', { topics: [1] }],
  ] as const) {
    test(`refuses a token with ${what}`, async () => {
      const result = await jwt()(withToken(await sign({ ...claims, ...wrong })));
      expect(result).toMatchObject({ ok: false, status: 401, code: 'UNAUTHORIZED' });
    });
  }

  for (const [what, header] of [
    ['no header', {}],
    ['an empty header', { authorization: '' }],
    ['"Bearer" without token', { authorization: 'Bearer' }],
    ['"Bearer" and spaces', { authorization: 'Bearer   ' }],
    ['another scheme', { authorization: 'Basic YWRhOmxvdmVsYWNl' }],
    ['a token that is none', { authorization: 'Bearer nonsense' }],
    ['three dots of nothing', { authorization: 'Bearer ..' }],
    ['garbage in three parts', { authorization: 'Bearer a.b.c' }],
    ['five parts', { authorization: 'Bearer a.b.c.d.e' }],
  ] as [string, Record<string, string>][]) {
    test(`refuses ${what}`, async () => {
      expect(await jwt()(authRequest(header))).toMatchObject({ ok: false, status: 401, code: 'UNAUTHORIZED' });
    });
  }

  test('refuses a token of absurd size before it looks inside', async () => {
    const token = await sign({ ...claims, padding: 'x'.repeat(8_192) });
    expect(await jwt()(withToken(token))).toMatchObject({
      code: 'UNAUTHORIZED',
      message: 'The token is longer than 8192 bytes',
    });
  });

  test('refuses other algorithms, "none" among them', async () => {
    const none = new UnsecuredJWT(claims).encode();
    const [, payload] = none.split('.');
    const signedNone = `${btoa('{"alg":"none"}').replaceAll('=', '')}.${payload}.c2ln`;
    const tokens = [none, signedNone, await sign(claims, oldSecret, 'HS512')];
    for (const token of tokens) {
      expect(await jwt()(withToken(token))).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
    }
  });

  test('refuses a token whose payload was exchanged', async () => {
    const [header, , signature] = (await sign(claims)).split('.');
    const [, payload] = (await sign({ ...claims, sub: 'root' }, newSecret)).split('.');
    expect(await jwt()(withToken(`${header}.${payload}.${signature}`))).toMatchObject({ code: 'UNAUTHORIZED' });
  });
});

describe('createJwtAuthenticator() with a key set', () => {
  const issuers: Issuer[] = [];
  afterEach(async () => {
    await Promise.all(issuers.splice(0).map((issuer) => issuer.stop()));
  });

  async function setUp(alg = 'RS256') {
    const issuer = await startIssuer(alg);
    issuers.push(issuer);
    const keySet = createKeySet({
      url: issuer.url,
      log: createLog({ level: 'silent' }),
      timeoutMs: 200,
      cooldownMs: 0,
    });
    return { issuer, authenticate: createJwtAuthenticator({ keySet }) };
  }

  for (const alg of ['RS256', 'ES256', 'EdDSA']) {
    test(`admits ${alg}`, async () => {
      const { issuer, authenticate } = await setUp(alg);
      const result = await authenticate(withToken(await issuer.sign(claims)));
      expect(result).toMatchObject({ ok: true, principal: { userId: 'ada' } });
    });
  }

  test('follows a rotation, and knows neither kid nor key of a stranger', async () => {
    const { issuer, authenticate } = await setUp();
    const before = withToken(await issuer.sign(claims));
    expect((await authenticate(before)).ok).toBe(true);
    await issuer.rotate('key-2');
    expect((await authenticate(withToken(await issuer.sign(claims)))).ok).toBe(true);
    expect((await authenticate(before)).ok).toBe(true);

    const stranger = await startIssuer();
    issuers.push(stranger);
    for (const kid of ['key-1', 'key-9', null]) {
      const token = withToken(await stranger.sign(claims, { kid }));
      expect(await authenticate(token)).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
    }
  });

  test('tries each key for a token that names none', async () => {
    const { issuer, authenticate } = await setUp();
    await issuer.rotate('key-2');
    expect((await authenticate(withToken(await issuer.sign(claims, { kid: null })))).ok).toBe(true);
  });

  test('serves on with the keys it has when the issuer stops; an unknown key is AUTH_UNAVAILABLE, in time', async () => {
    const { issuer, authenticate } = await setUp();
    const known = withToken(await issuer.sign(claims));
    expect((await authenticate(known)).ok).toBe(true);
    await issuer.rotate('key-2');
    const unknown = withToken(await issuer.sign(claims));
    await issuer.stop();
    const refusal = await authenticate(unknown);
    expect(refusal).toMatchObject({ ok: false, status: 503, code: 'AUTH_UNAVAILABLE' });
    expect(refusal).toHaveProperty('retryAfterMs', expect.any(Number));
    expect((await authenticate(known)).ok).toBe(true);
  });

  test('answers AUTH_UNAVAILABLE when the issuer takes the request and says nothing', async () => {
    const { issuer, authenticate } = await setUp();
    issuer.answer('stall');
    const token = withToken(await issuer.sign(claims));
    expect(await authenticate(token)).toMatchObject({ ok: false, status: 503, code: 'AUTH_UNAVAILABLE' });
  });

  for (const alg of ['PS256', 'RS512', 'ES384']) {
    test(`refuses ${alg}, even with a key the issuer publishes for it`, async () => {
      const { issuer, authenticate } = await setUp();
      await issuer.rotate('key-2', alg);
      const token = await issuer.sign(claims);
      expect(await authenticate(withToken(token))).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
    });
  }

  test('does not ask the issuer about what cannot be its token', async () => {
    const { issuer, authenticate } = await setUp();
    await authenticate(withToken('some-api-key'));
    await authenticate(withToken(await sign(claims)));
    expect(issuer.requests).toBe(0);
  });

  test('refuses HS256 signed with the public key, in whatever form', async () => {
    const { issuer } = await setUp();
    const keySet = createKeySet({ url: issuer.url, log: createLog({ level: 'silent' }) });
    // With a secret beside it, HS256 as such is accepted: only the key may not be the public one.
    const authenticate = createJwtAuthenticator({ keySet, secrets: [new Secret(oldSecret)] });
    const jwk = issuer.publicJwk();
    const pem = await exportSPKI((await importJWK(jwk, 'RS256', { extractable: true })) as CryptoKey);
    for (const secret of [pem, pem.trim(), JSON.stringify(jwk), String(jwk.n)]) {
      const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const input = `${encode({ alg: 'HS256', kid: 'key-1' })}.${encode({ ...claims, exp: 4_000_000_000 })}`;
      const token = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
      expect(await authenticate(withToken(token))).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
    }
  });
});

describe('createJwtAuthenticator() with a cookie', () => {
  const cookie = { name: 'session', isAllowedOrigin: createOriginPolicy(['https://app.example']) };
  const authenticate = jwt({ cookie });
  const ask = async (headers: Record<string, string>, token?: string) =>
    authenticate(authRequest({ cookie: `theme=dark; session=${token ?? (await sign(claims))}; x=y`, ...headers }));

  test('admits pages of the same and of an allowed origin', async () => {
    expect((await ask({ origin: 'http://usher.example' })).ok).toBe(true);
    expect((await ask({ origin: 'https://app.example' })).ok).toBe(true);
    expect((await ask({ 'sec-fetch-site': 'same-origin' })).ok).toBe(true);
  });

  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'https://app.example.evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    {},
  ] as Record<string, string>[]) {
    test(`refuses ${JSON.stringify(headers)} with ORIGIN_NOT_ALLOWED`, async () => {
      expect(await ask(headers)).toMatchObject({ ok: false, status: 403, code: 'ORIGIN_NOT_ALLOWED' });
    });
  }

  test('verifies what the cookie holds', async () => {
    expect(await ask({ origin: 'https://app.example' }, 'nonsense')).toMatchObject({ code: 'UNAUTHORIZED' });
    expect(await ask({ origin: 'https://app.example' }, '')).toMatchObject({ code: 'UNAUTHORIZED' });
  });

  test('lets the header decide where there is one', async () => {
    expect(await ask({ authorization: 'Bearer nonsense', origin: 'https://app.example' })).toMatchObject({
      code: 'UNAUTHORIZED',
    });
    expect((await ask({ authorization: 'Bearer', origin: 'https://app.example' })).ok).toBe(false);
    expect((await ask({ authorization: `Bearer ${await sign(claims)}`, origin: 'https://evil.example' })).ok).toBe(
      true,
    );
  });

  test('ignores cookies that are not configured', async () => {
    const request = authRequest({ cookie: `session=${await sign(claims)}`, origin: 'https://app.example' });
    expect(await jwt()(request)).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
  });
});
