import { expect, test } from 'bun:test';
import { createFakeClock, settle } from './fake-clock.fixture.ts';
import { createTokenSource, type TokenOption } from './token.ts';

const make = (token: TokenOption | undefined) => {
  const clock = createFakeClock();
  const closing = new AbortController();
  return { clock, closing, tokens: createTokenSource(token, { clock, timeoutMs: 1_000, signal: closing.signal }) };
};

test('get() asks once and keeps the token; renew() asks anew', async () => {
  let asked = 0;
  const { tokens } = make(() => `token-${++asked}`);
  expect(await tokens.get()).toBe('token-1');
  expect(await tokens.get()).toBe('token-1');
  expect(await tokens.renew()).toBe('token-2');
  expect(await tokens.get()).toBe('token-2');
});

test('renew() puts one question for all who ask at the same time', async () => {
  let asked = 0;
  const { tokens } = make(async () => `token-${++asked}`);
  expect(await Promise.all([tokens.renew(), tokens.get(), tokens.renew()])).toEqual(['token-1', 'token-1', 'token-1']);
});

test('refused() lets another token be tried once, and says so to the provider', async () => {
  const requests: boolean[] = [];
  const { tokens } = make(({ refused }) => {
    requests.push(refused);
    return 'x';
  });
  await tokens.get();
  expect(tokens.refused(tokens.version)).toBe(true);
  await tokens.get();
  expect(requests).toEqual([false, true]);
  expect(tokens.refused(tokens.version)).toBe(false);
  tokens.accepted();
  expect(tokens.refused(tokens.version)).toBe(true);
});

test('refused() does not count a refusal of a token that was given up before', async () => {
  const { tokens } = make(() => 'x');
  const version = tokens.version;
  expect([tokens.refused(version), tokens.refused(version), tokens.refused(version)]).toEqual([true, true, true]);
});

test('a fixed token that is refused leaves nothing to try', async () => {
  const { tokens } = make('fixed');
  expect(await tokens.get()).toBe('fixed');
  expect(tokens.refused(tokens.version)).toBe(false);
  expect(await make(undefined).tokens.get()).toBeNull();
});

test('a provider that never answers is given up after its time', async () => {
  const { clock, tokens } = make(() => new Promise(() => {}));
  const outcome = tokens.get().catch((error) => error.code);
  await clock.advance(1_000);
  expect(await outcome).toBe('TOKEN_UNAVAILABLE');
  expect(clock.waiting).toBe(0);
});

test('a provider that throws is TOKEN_UNAVAILABLE, and asked again the next time', async () => {
  let asked = 0;
  const { tokens } = make(() => {
    asked += 1;
    if (asked === 1) throw new Error('identity service is down');
    return 'x';
  });
  const error = await tokens.get().catch((cause) => cause);
  expect([error.code, error.cause.message]).toEqual(['TOKEN_UNAVAILABLE', 'identity service is down']);
  expect(await tokens.get()).toBe('x');
});

test('closing ends the wait for a provider', async () => {
  const { closing, clock, tokens } = make(() => new Promise(() => {}));
  const outcome = tokens.get().catch(() => 'ended');
  await settle();
  closing.abort();
  expect(await outcome).toBe('ended');
  expect(clock.waiting).toBe(0);
});
