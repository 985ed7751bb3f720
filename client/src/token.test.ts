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

test('drop() makes the next get() ask, and tells the provider why', async () => {
  const requests: boolean[] = [];
  const { tokens } = make(({ refused }) => {
    requests.push(refused);
    return 'x';
  });
  expect(tokens.drop(await tokens.get())).toBe(true);
  await tokens.get();
  await tokens.renew();
  expect(requests).toEqual([false, true, false]);
});

test('drop() leaves a token alone that came after the refused one', async () => {
  let asked = 0;
  const { tokens } = make(() => `t${++asked}`);
  const first = await tokens.get();
  tokens.drop(first);
  expect(await tokens.get()).toBe('t2');
  expect(tokens.drop(first)).toBe(true);
  expect(await tokens.get()).toBe('t2');
});

test('a fixed token that is refused leaves nothing to try', async () => {
  for (const token of ['fixed', undefined]) {
    const { tokens } = make(token);
    expect(await tokens.get()).toBe(token ?? null);
    expect(tokens.drop()).toBe(false);
  }
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
