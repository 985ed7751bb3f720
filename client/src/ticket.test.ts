import { expect, test } from 'bun:test';
import { createFakeClock, settle } from './fake-clock.fixture.ts';
import type { Logger } from './logger.ts';
import { createRequest } from './request.ts';
import { createTicketSource, type TicketOptions } from './ticket.ts';
import { createTokenSource, type TokenOption } from './token.ts';

type Answer = () => Response | Promise<Response>;

const ok: Answer = () => Response.json({ ticket: 'secret', path: '/trpc' });
const refuse =
  (status: number, code: string, fields = {}): Answer =>
  () =>
    Response.json({ code, message: code, traceId: 'trace', ...fields }, { status });
const notReady = refuse(503, 'WS_TICKET_REDIS_NOT_READY');
const never: Answer = () => new Promise(() => {});

/** A ticket source whose requests are answered by `answers`, the last of them again and again. */
function make(answers: readonly Answer[], options: TicketOptions & { token?: TokenOption } = {}) {
  const clock = createFakeClock();
  const closing = new AbortController();
  const requests: { atMs: number; authorization: string | null }[] = [];
  const logged: unknown[][] = [];
  const log =
    (level: string) =>
    (...line: unknown[]) => {
      logged.push([level, ...line]);
    };
  const logger: Logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
  const startedAt = clock.now();
  const fetch = (async (_url: string, init: RequestInit) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push({ atMs: clock.now() - startedAt, authorization: new Headers(init.headers).get('authorization') });
    return answer?.();
  }) as unknown as typeof globalThis.fetch;
  const tokens = createTokenSource(options.token, { clock, timeoutMs: 5_000, signal: closing.signal });
  const request = createRequest({ fetch }, tokens);
  const source = createTicketSource({ url: 'http://usher/ws-ticket', tokens, clock, request, logger }, options);
  const take = (patient = true) =>
    source.take({ signal: closing.signal, patient }).then(
      ({ ticket }) => ticket,
      (error) => error.code as string,
    );
  return { clock, closing, requests, logged, take, tokens };
}

test('take() asks again after 200, 500 and 1,000 ms while Redis is not ready, and then gives up', async () => {
  const { clock, requests, logged, take } = make([notReady]);
  const outcome = take();
  await clock.advance(1_700);
  expect(await outcome).toBe('WS_TICKET_REDIS_NOT_READY');
  expect(requests.map(({ atMs }) => atMs)).toEqual([0, 200, 700, 1_700]);
  const retry = '[WS-Ticket] 503 Redis not ready, retrying with backoff';
  expect(logged).toEqual([
    ['debug', retry, { attemptNumber: 1, maxAttempts: 3, delayMs: 200 }],
    ['debug', retry, { attemptNumber: 2, maxAttempts: 3, delayMs: 500 }],
    ['debug', retry, { attemptNumber: 3, maxAttempts: 3, delayMs: 1_000 }],
    [
      'debug',
      '[WS-Ticket] 503 error - max retries exceeded or non-retryable',
      { code: 'WS_TICKET_REDIS_NOT_READY', retries: 3, traceId: 'trace' },
    ],
  ]);
  expect(clock.waiting).toBe(0);
});

test('take() gives the ticket when Redis comes back during the retries', async () => {
  const { clock, requests, take } = make([notReady, notReady, ok]);
  const outcome = take();
  await clock.advance(700);
  expect(await outcome).toBe('secret');
  expect(requests).toHaveLength(3);
});

test('take() asks once, without a word, when it is not to be patient', async () => {
  const { requests, logged, take } = make([notReady]);
  expect(await take(false)).toBe('WS_TICKET_REDIS_NOT_READY');
  expect([requests.length, logged.length]).toEqual([1, 0]);
});

test('take() drops a refused token, asks for another and tries once more', async () => {
  let asked = 0;
  const { requests, take } = make([refuse(401, 'UNAUTHORIZED'), ok], { token: () => `t${++asked}` });
  expect(await take()).toBe('secret');
  expect(requests.map(({ authorization }) => authorization)).toEqual(['Bearer t1', 'Bearer t2']);
});

test('take() gives up when the other token is refused too', async () => {
  let asked = 0;
  const { requests, take } = make([refuse(401, 'UNAUTHORIZED')], { token: () => `t${++asked}` });
  expect(await take()).toBe('UNAUTHORIZED');
  expect([requests.length, asked]).toEqual([2, 2]);
});

for (const [status, code] of [
  [401, 'MISSING_SESSION'],
  [403, 'FORBIDDEN'],
  [429, 'RATE_LIMITED'],
  [503, 'AUTH_UNAVAILABLE'],
  [503, 'DRAINING'],
] as const) {
  test(`take() puts no second question after ${status} ${code}`, async () => {
    const { requests, take, clock } = make([refuse(status, code)], { token: () => 'x' });
    expect(await take()).toBe(code);
    await clock.advance(60_000);
    expect(requests).toHaveLength(1);
  });
}

test('take() does not repeat a 503 that is a page of HTML', async () => {
  const { requests, logged, take } = make([() => new Response('<html>', { status: 503 })]);
  expect(await take()).toBe('BAD_ANSWER');
  expect(requests).toHaveLength(1);
  expect(logged.map(([, message]) => message)).toEqual([
    '[WS-Ticket] 503 error - max retries exceeded or non-retryable',
  ]);
});

test('take() is over after its time, be the server silent before or after the header', async () => {
  const halfAnswer: Answer = () => new Response(new ReadableStream());
  for (const answer of [never, halfAnswer]) {
    const { clock, take } = make([answer], { timeoutMs: 2_000 });
    const outcome = take();
    await clock.advance(2_000);
    expect(await outcome).toBe('TIMEOUT');
    expect(clock.waiting).toBe(0);
  }
});

test('take() takes nothing for a ticket that is none', async () => {
  for (const body of ['', 'null', '{}', '{"ticket":7}', '<html>']) {
    expect(await make([() => new Response(body)]).take()).toBe('BAD_ANSWER');
  }
});

test('closing cancels a wait, and a request that is under way', async () => {
  for (const answer of [notReady, never]) {
    const { closing, clock, take } = make([answer]);
    const outcome = take();
    await settle();
    closing.abort();
    expect(await outcome).toBe('CLOSED');
    expect(clock.waiting).toBe(0);
  }
});

test('no line of the log holds a ticket or a token', async () => {
  const { logged, take, clock } = make([notReady, refuse(401, 'UNAUTHORIZED'), ok], { token: () => 'bearer-secret' });
  const outcome = take();
  await clock.advance(5_000);
  expect(await outcome).toBe('secret');
  expect(JSON.stringify(logged)).not.toContain('secret');
});
