import { expect, test } from 'bun:test';
import { createFakeClock } from './fake-clock.fixture.ts';
import { createRequest, type RequestOptions } from './request.ts';
import { createTokenSource, type TokenOption } from './token.ts';

function make(
  token: TokenOption | undefined,
  answer: (authorization: string | null) => Response,
  more: RequestOptions = {},
) {
  const sent: { authorization: string | null; init: RequestInit | undefined }[] = [];
  const signal = new AbortController().signal;
  const tokens = createTokenSource(token, { clock: createFakeClock(), timeoutMs: 1_000, signal });
  const fetch = (async (_: string, init?: RequestInit) => {
    const authorization = new Headers(init?.headers).get('authorization');
    sent.push({ authorization, init });
    return answer(authorization);
  }) as unknown as typeof globalThis.fetch;
  return { sent, request: createRequest({ ...more, fetch }, tokens), tokens };
}

const refusal = (code: string) => Response.json({ code, message: code }, { status: 401 });

test('a request carries the token, the headers it was given, and credentials if asked for', async () => {
  const { request, sent } = make('secret', () => new Response('ok'), { credentials: 'include' });
  await request('http://usher', { method: 'POST', headers: { 'content-type': 'application/json' } });
  const init = sent[0]?.init;
  expect(Object.fromEntries(new Headers(init?.headers))).toEqual({
    authorization: 'Bearer secret',
    'content-type': 'application/json',
  });
  expect([init?.method, init?.credentials]).toEqual(['POST', 'include']);
});

test('without a token there is no header, and no credentials are forced', async () => {
  const { request, sent } = make(undefined, () => new Response('ok'));
  await request('http://usher');
  expect(sent[0]?.authorization).toBeNull();
  expect(sent[0]?.init).not.toHaveProperty('credentials');
});

test('a refused token is exchanged once, and the answer to the other one is the answer', async () => {
  let asked = 0;
  const { request, sent } = make(
    () => `t${++asked}`,
    (given) => (given === 'Bearer t2' ? new Response('ok') : refusal('TOKEN_EXPIRED')),
  );
  expect((await request('http://usher')).status).toBe(200);
  expect(sent.map(({ authorization }) => authorization)).toEqual(['Bearer t1', 'Bearer t2']);
});

test('two refusals are the answer, readable, and the next request asks for a token again', async () => {
  let asked = 0;
  const { request, sent } = make(
    () => `t${++asked}`,
    () => refusal('UNAUTHORIZED'),
  );
  const response = await request('http://usher');
  expect([response.status, ((await response.json()) as { code: string }).code, sent.length]).toEqual([
    401,
    'UNAUTHORIZED',
    2,
  ]);
  await request('http://usher');
  expect(asked).toBe(4);
});

test('a token without a session is not exchanged, nor is a fixed one', async () => {
  const missing = make(
    () => 'x',
    () => refusal('MISSING_SESSION'),
  );
  await missing.request('http://usher');
  const fixed = make('x', () => refusal('UNAUTHORIZED'));
  await fixed.request('http://usher');
  expect([missing.sent.length, fixed.sent.length]).toEqual([1, 1]);
});

test('ten requests whose token is refused together ask for one other', async () => {
  let asked = 0;
  const { request } = make(
    () => `t${++asked}`,
    (given) => (given === 'Bearer t1' ? refusal('UNAUTHORIZED') : new Response('ok')),
  );
  const answers = await Promise.all(Array.from({ length: 10 }, () => request('http://usher')));
  expect(answers.every(({ ok }) => ok)).toBe(true);
  expect(asked).toBe(2);
});
