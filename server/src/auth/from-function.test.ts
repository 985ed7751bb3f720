import { describe, expect, test } from 'bun:test';
import { UsherError } from '@usher/contracts';
import { authRequest } from './auth-request.fixture.ts';
import { type AuthFunction, type Caller, type FromFunctionOptions, fromFunction } from './from-function.ts';
import { refuse } from './verdict.ts';

const ask = (authenticate: AuthFunction, options?: FromFunctionOptions) =>
  fromFunction(authenticate, options)(authRequest({ 'x-user': 'ada' }));

describe('fromFunction()', () => {
  test('admits the caller the function gives', async () => {
    const result = await ask(({ headers }) => ({ userId: headers.get('x-user') ?? '', sessionId: 's1' }));
    expect(result).toEqual({
      ok: true,
      principal: { userId: 'ada', sessionId: 's1', scopes: [], topics: [], expiresAt: null },
    });
  });

  test('answers UNAUTHORIZED for null, and whatever refusal the function gives', async () => {
    expect(await ask(() => null)).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
    expect(await ask(async () => refuse('FORBIDDEN'))).toMatchObject({ ok: false, status: 403, code: 'FORBIDDEN' });
  });

  test('answers INTERNAL when it throws, tells onError, and the caller nothing', async () => {
    const told: unknown[] = [];
    const boom = new Error('database password is wrong');
    for (const authenticate of [
      () => {
        throw boom;
      },
      () => Promise.reject(boom),
    ]) {
      const result = await ask(authenticate, { onError: (error) => told.push(error) });
      expect(result).toEqual({ ok: false, status: 500, code: 'INTERNAL' });
    }
    expect(told).toEqual([boom, boom]);
  });

  test('answers a thrown UsherError with its code', async () => {
    const throwing = () => {
      throw new UsherError('RATE_LIMITED', { retryAfterMs: 70 });
    };
    expect(await ask(throwing)).toMatchObject({ ok: false, status: 429, code: 'RATE_LIMITED', retryAfterMs: 70 });
  });

  test('answers AUTH_UNAVAILABLE when the function never does, and aborts its signal', async () => {
    let aborted = false;
    const hangs: AuthFunction = (_request, { signal }) =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          aborted = true;
        });
      });
    expect(await ask(hangs, { timeoutMs: 5 })).toMatchObject({ ok: false, status: 503, code: 'AUTH_UNAVAILABLE' });
    expect(aborted).toBe(true);
  });

  test('does not mind an answer or a throw that comes after the deadline', async () => {
    const told: unknown[] = [];
    const late: AuthFunction = (_request, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    const options = { timeoutMs: 5, onError: (error: unknown) => told.push(error) };
    expect(await ask(late, options)).toMatchObject({ code: 'AUTH_UNAVAILABLE' });
    await Promise.resolve();
    expect(told).toEqual([]);
  });

  test('refuses at once past maxPending, and takes callers again when one is done', async () => {
    const gate = Promise.withResolvers<Caller>();
    const authenticate = fromFunction(() => gate.promise, { maxPending: 1 });
    const first = authenticate(authRequest());
    expect(await authenticate(authRequest())).toMatchObject({ code: 'AUTH_UNAVAILABLE' });
    gate.resolve({ userId: 'ada', sessionId: 's1' });
    expect((await first).ok).toBe(true);
    expect((await authenticate(authRequest())).ok).toBe(true);
  });

  test('tells a caller without session from one that is none', async () => {
    expect(await ask(() => ({ userId: 'ada' }) as Caller)).toMatchObject({ status: 401, code: 'MISSING_SESSION' });
    for (const answer of [undefined, 'ada', {}, { userId: 7 }, { userId: 'a', sessionId: 's', scopes: 'admin' }]) {
      expect(await ask(() => answer as unknown as Caller)).toMatchObject({ code: 'INTERNAL' });
    }
  });

  test('refuses a session that has expired', async () => {
    const caller = { userId: 'ada', sessionId: 's1', expiresAt: 1_000 };
    expect(await ask(() => caller, { now: () => 1_000 })).toMatchObject({ code: 'UNAUTHORIZED' });
    expect(await ask(() => caller, { now: () => 999 })).toMatchObject({ ok: true, principal: { expiresAt: 1_000 } });
  });
});
