import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { createApiKeyAuthenticator } from './api-key.ts';
import { authRequest, withToken } from './auth-request.fixture.ts';

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex');
const keys = [
  { id: 'worker', sha256: sha256('worker-key'), userId: 'ada', scopes: ['publish'], topics: ['job:*'] },
  { id: 'worker-2', sha256: sha256('worker-key-2'), userId: 'ada', scopes: ['publish'], topics: [] },
  { id: 'ops', sha256: sha256('ops-key'), userId: 'bob', scopes: ['admin'], topics: ['*'] },
];
const authenticate = createApiKeyAuthenticator({ keys });

describe('createApiKeyAuthenticator()', () => {
  test('knows two users by two keys, each in a session of its own', () => {
    expect(authenticate(withToken('worker-key'))).toEqual({
      ok: true,
      principal: { userId: 'ada', sessionId: 'worker', scopes: ['publish'], topics: ['job:*'], expiresAt: null },
    });
    expect(authenticate(withToken('ops-key'))).toMatchObject({
      ok: true,
      principal: { userId: 'bob', sessionId: 'ops' },
    });
  });

  test('accepts the old and the new key of a user while one replaces the other', () => {
    expect(authenticate(withToken('worker-key-2'))).toMatchObject({ ok: true, principal: { userId: 'ada' } });
  });

  test('does not take the digest for the key', () => {
    expect(authenticate(withToken(sha256('ops-key')))).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
  });

  for (const headers of [
    {},
    { authorization: 'Bearer' },
    { authorization: 'Basic ops-key' },
    { authorization: 'ops-key' },
    { authorization: 'Bearer ops-keY' },
  ] as Record<string, string>[]) {
    test(`refuses ${JSON.stringify(headers)}`, () => {
      expect(authenticate(authRequest(headers))).toMatchObject({ ok: false, status: 401, code: 'UNAUTHORIZED' });
    });
  }
});
