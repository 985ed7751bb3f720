import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { SignJWT } from 'jose';
import { type Config, type Environment, readConfig } from '../config/config.ts';
import { createLog } from '../log.ts';
import { authRequest, withToken } from './auth-request.fixture.ts';
import { type CreateAuthenticatorOptions, createAuthenticator } from './create-authenticator.ts';
import { startIssuer } from './issuer.fixture.ts';
import type { AuthFailure } from './on-auth-failure.ts';
import { refuse } from './verdict.ts';

const secret = 'a-secret-of-at-least-thirty-two-bytes';
const key = 'a-key-of-a-worker';
const apiKeys = JSON.stringify([
  { id: 'worker', sha256: createHash('sha256').update(key).digest('hex'), userId: 'worker', scopes: ['publish'] },
]);

function configOf(env: Environment): Config {
  const result = readConfig(env);
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.config;
}

const create = (env: Environment, options: Partial<CreateAuthenticatorOptions> = {}) =>
  createAuthenticator({ config: configOf(env), log: createLog({ level: 'silent' }), ...options });

const sign = (claims = { sub: 'ada', sid: 's1' }) =>
  new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime('1m')
    .sign(new TextEncoder().encode(secret));

describe('createAuthenticator()', () => {
  test('makes everybody "dev" when nothing is configured', async () => {
    expect(await create({})(authRequest())).toEqual({
      ok: true,
      issuedAt: expect.any(Number),
      principal: { userId: 'dev', sessionId: 'dev', scopes: ['publish', 'admin'], topics: ['*'], expiresAt: null },
    });
  });

  test('makes everybody "dev" when DISABLE_AUTH says so, whatever else is configured', async () => {
    expect((await create({ DISABLE_AUTH: 'true', JWT_SECRET: secret })(withToken('nonsense'))).ok).toBe(true);
  });

  test('takes keys and tokens side by side', async () => {
    const authenticate = create({ API_KEYS: apiKeys, JWT_SECRET: secret });
    const users = await Promise.all([key, await sign(), 'nonsense'].map((token) => authenticate(withToken(token))));
    expect(users).toMatchObject([
      { ok: true, principal: { userId: 'worker' } },
      { ok: true, principal: { userId: 'ada' } },
      { ok: false, status: 401, code: 'UNAUTHORIZED' },
    ]);
    expect(await authenticate(authRequest())).toMatchObject({ ok: false, status: 401, code: 'UNAUTHORIZED' });
  });

  test('admits keys, and HS256 tokens, while the key set cannot be fetched', async () => {
    await using issuer = await startIssuer();
    const authenticate = create(
      { API_KEYS: apiKeys, JWT_SECRET: secret, JWT_JWKS_URL: issuer.url.href },
      { keySetTimeoutMs: 200 },
    );
    const token = await issuer.sign({ sub: 'ada', sid: 's1' });
    await issuer.stop();
    expect((await authenticate(withToken(key))).ok).toBe(true);
    expect((await authenticate(withToken(await sign()))).ok).toBe(true);
    expect(await authenticate(withToken(token))).toMatchObject({ status: 503, code: 'AUTH_UNAVAILABLE' });
    expect(await authenticate(withToken('nonsense'))).toMatchObject({ status: 401, code: 'UNAUTHORIZED' });
  });

  test('checks the origin of a cookie against ALLOWED_ORIGINS', async () => {
    const authenticate = create({ JWT_SECRET: secret, JWT_COOKIE: 'sid', ALLOWED_ORIGINS: 'https://app.example' });
    const cookie = `sid=${await sign()}`;
    expect((await authenticate(authRequest({ cookie, origin: 'https://app.example' }))).ok).toBe(true);
    expect(await authenticate(authRequest({ cookie, origin: 'https://evil.example' }))).toMatchObject({
      status: 403,
      code: 'ORIGIN_NOT_ALLOWED',
    });
  });

  test("asks an app's own authenticator after keys and tokens", async () => {
    const read = readConfig({ NODE_ENV: 'production', API_KEYS: apiKeys }, { hasAuthenticator: true });
    if (!read.ok) throw new Error(JSON.stringify(read.faults));
    const authenticate = create({}, { config: read.config, authenticators: [() => refuse('FORBIDDEN')] });
    expect(await authenticate(authRequest())).toMatchObject({ ok: false, code: 'FORBIDDEN' });
    expect((await authenticate(withToken(key))).ok).toBe(true);
  });

  test('wants at least one way to authenticate', () => {
    expect(() => create({}, { config: { ...configOf({}), authDisabled: false } })).toThrow(TypeError);
  });

  test('tells onAuthFailure who was refused and why, and no secret', async () => {
    const failures: AuthFailure[] = [];
    const authenticate = create({ JWT_SECRET: secret }, { onAuthFailure: (failure) => void failures.push(failure) });
    const token = await sign({ sub: 'ada', sid: '' });
    const headers = {
      authorization: `Bearer ${token}`,
      origin: 'https://app.example',
      'user-agent': 'x'.repeat(1_000),
    };
    await authenticate(authRequest(headers, 'http://usher.example/ws?ticket=ut1_secret'));
    await Promise.resolve();
    expect(failures).toEqual([
      {
        code: 'MISSING_SESSION',
        status: 401,
        traceId: 'trace-1',
        address: '192.0.2.7',
        path: '/ws',
        origin: 'https://app.example',
        userAgent: 'x'.repeat(256),
      },
    ]);
    expect(JSON.stringify(failures)).not.toContain(token);
  });

  test('is not held up, nor broken, by a hook that throws, rejects or hangs', async () => {
    for (const onAuthFailure of [
      () => {
        throw new Error('hook');
      },
      () => Promise.reject(new Error('hook')),
      () => new Promise<void>(() => {}),
    ]) {
      expect(await create({ JWT_SECRET: secret }, { onAuthFailure })(authRequest())).toMatchObject({
        code: 'UNAUTHORIZED',
      });
    }
  });

  test('answers INTERNAL, and logs why, when an authenticator throws', async () => {
    const lines: string[] = [];
    const authenticate = createAuthenticator({
      config: { ...configOf({}), authDisabled: false },
      log: createLog({ sink: { write: (line) => lines.push(line) } }),
      authenticators: [
        () => {
          throw new Error('boom');
        },
      ],
    });
    expect(await authenticate(authRequest())).toEqual({ ok: false, status: 500, code: 'INTERNAL' });
    expect(lines.join('')).toContain('boom');
    expect(lines.join('')).toContain('trace-1');
  });
});
