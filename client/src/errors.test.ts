import { expect, test } from 'bun:test';
import { TRPCClientError } from '@trpc/client';
import { type Code, codes } from '@usher/contracts/codes';
import {
  actionOf,
  errorOfBody,
  errorOfClose,
  errorOfResponse,
  isUsherError,
  toUsherError,
  UsherError,
} from './errors.ts';

test('actionOf() says of each code what the table of contracts says', () => {
  const table = Object.entries(codes).map(([code, { client }]) => [code, client]);
  expect(table.map(([code]) => [code, actionOf(code as Code)])).toEqual(table);
});

test('a plain error of Usher keeps its code, trace, wait and status', async () => {
  const body = {
    error: 'SERVICE_UNAVAILABLE',
    code: 'WS_TICKET_REDIS_NOT_READY',
    message: 'not ready',
    traceId: 't-1',
    retryAfterMs: 250,
  };
  const error = await errorOfResponse(Response.json(body, { status: 503 }));
  expect(isUsherError(error)).toBe(true);
  expect({ ...error, message: error.message }).toMatchObject({
    code: 'WS_TICKET_REDIS_NOT_READY',
    message: 'not ready',
    traceId: 't-1',
    retryAfterMs: 250,
    status: 503,
  });
});

test("a proxy's HTML page is told by its status", async () => {
  const page = (status: number) => errorOfResponse(new Response('<h1>503</h1>', { status }));
  expect((await page(503)).code).toBe('BAD_ANSWER');
  expect((await page(401)).code).toBe('UNAUTHORIZED');
  expect((await page(403)).code).toBe('FORBIDDEN');
  expect((await page(429)).code).toBe('RATE_LIMITED');
});

test('a Retry-After header counts where the body has no wait', async () => {
  const response = new Response('slow down', { status: 429, headers: { 'retry-after': '7' } });
  expect((await errorOfResponse(response)).retryAfterMs).toBe(7_000);
});

test('a server cannot send a client away for longer than five minutes', async () => {
  const body = { code: 'DRAINING', retryAfterMs: 86_400_000 };
  expect(errorOfBody(body, {}).retryAfterMs).toBe(300_000);
  const response = new Response('', { status: 503, headers: { 'retry-after': 'Infinity' } });
  expect((await errorOfResponse(response)).retryAfterMs).toBe(300_000);
  expect(errorOfBody({ code: 'DRAINING', retryAfterMs: 'soon' }, {}).retryAfterMs).toBeUndefined();
});

test('an error of tRPC is read from its shape, over either transport', () => {
  const shape = {
    message: 'There is no such topic',
    code: -32004,
    data: { code: 'NOT_FOUND', httpStatus: 404, reason: 'TOPIC_UNKNOWN', traceId: 't-2' },
  };
  const error = toUsherError(TRPCClientError.from({ error: shape }));
  expect({ code: error.code, status: error.status, traceId: error.traceId, message: error.message }).toEqual({
    code: 'TOPIC_UNKNOWN',
    status: 404,
    traceId: 't-2',
    message: 'There is no such topic',
  });
  expect(errorOfBody({ error: shape }, {}).code).toBe('TOPIC_UNKNOWN');
});

test('what never was an answer is NETWORK, with its cause', () => {
  const cause = new TypeError('fetch failed');
  const error = toUsherError(TRPCClientError.from(cause));
  expect(error.code).toBe('NETWORK');
  expect((error.cause as Error).cause).toBe(cause);
  expect(toUsherError(undefined).code).toBe('NETWORK');
});

test('an UsherError inside an error of tRPC comes out as it went in', () => {
  const inner = new UsherError('CLOSED');
  expect(toUsherError(TRPCClientError.from(inner))).toBe(inner);
  expect(toUsherError(inner)).toBe(inner);
});

test('a code that this client does not know is told by its status', () => {
  expect(errorOfBody({ code: 'SOMETHING_NEW' }, { status: 403 }).code).toBe('FORBIDDEN');
  expect(errorOfBody({ code: 'toString' }, { status: 500 }).code).toBe('BAD_ANSWER');
});

test("a close is told by Usher's reason, else by its close code", () => {
  expect(errorOfClose(1008, 'TOKEN_EXPIRED').code).toBe('TOKEN_EXPIRED');
  expect(errorOfClose(1012, '').code).toBe('DRAINING');
  expect(errorOfClose(1006, '').code).toBe('NETWORK');
});
