import { expect, test } from 'bun:test';
import type { Handle } from './http.ts';
import { createInFlight } from './in-flight.ts';

const peer = { address: null };
const asked = (url: string): Request => ({ url }) as Request;

test('a call counts while it is answered, and its time is kept', async () => {
  let at = 1;
  const inFlight = createInFlight({ isLeaving: () => false, now: () => at });
  const { promise, resolve } = Promise.withResolvers<Response>();
  const handle = inFlight.wrap(() => promise);
  expect({ count: inFlight.count, lastAt: inFlight.lastAt }).toEqual({ count: 0, lastAt: null });
  const answering = handle(asked('http://a/trpc/topic.publish'), peer);
  expect({ count: inFlight.count, lastAt: inFlight.lastAt }).toEqual({ count: 1, lastAt: 1 });
  at = 2;
  resolve(new Response());
  await answering;
  expect({ count: inFlight.count, lastAt: inFlight.lastAt }).toEqual({ count: 0, lastAt: 2 });
});

test('one that fails counts no longer', async () => {
  const inFlight = createInFlight({ isLeaving: () => false });
  const handle = inFlight.wrap(() => Promise.reject(new Error('no')));
  await handle(asked('http://a/'), peer).catch(() => {});
  expect(inFlight.count).toBe(0);
});

// HAProxy asks in HTTP/1.0 and names no host; Bun then gives a bare path.
test.each([
  'http://a:1/readyz',
  'http://a/healthz?x=1',
  'http://[::1]:1/metrics',
  '/readyz',
  '/trpc/health.ready?batch=1',
])('a checker who asks for %s keeps nobody waiting', async (url) => {
  const inFlight = createInFlight({ isLeaving: () => false });
  const handle: Handle = inFlight.wrap(async () => new Response());
  await handle(asked(url), peer);
  expect(inFlight.lastAt).toBeNull();
});

test('while the instance leaves, each answer ends its connection', async () => {
  let isLeaving = false;
  const handle = createInFlight({ isLeaving: () => isLeaving }).wrap(async () => new Response());
  const connection = async (): Promise<string | null> => {
    const answer = await handle(asked('http://a/ws-ticket'), peer);
    return answer instanceof Response ? answer.headers.get('connection') : null;
  };
  expect(await connection()).toBeNull();
  isLeaving = true;
  expect(await connection()).toBe('close');
});
