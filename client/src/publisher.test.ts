import { expect, test } from 'bun:test';
import { createFakeClock, settle } from './fake-clock.fixture.ts';
import { createPublisher, type PublisherOptions } from './publisher.ts';

interface Request {
  readonly topic: string;
  readonly state?: unknown;
  readonly owner?: string;
  readonly events: readonly { readonly name: string; readonly data: unknown; readonly idempotencyKey: string }[];
}

type Answer = (request: Request) => Response | Promise<Response>;

const accept: Answer = ({ events }) =>
  Response.json({
    result: { data: { positions: events.map(({ name }) => name), duplicates: events.map(() => false), durable: true } },
  });
const refuse =
  (status: number, reason: string): Answer =>
  () =>
    Response.json({ error: { message: reason, code: -32000, data: { reason, httpStatus: status } } }, { status });

function make(options: Partial<PublisherOptions> = {}) {
  const clock = createFakeClock();
  const requests: Request[] = [];
  const given: string[] = [];
  let answer = accept;
  const publisher = createPublisher({
    url: 'http://usher',
    clock,
    random: () => 0.5,
    onError: ({ code }, { name }) => given.push(`${name} ${code}`),
    fetch: (async (_: string, init: RequestInit) => {
      const request = JSON.parse(String(init.body)) as Request;
      requests.push(request);
      return answer(request);
    }) as unknown as typeof fetch,
    ...options,
  });
  const names = () => requests.map(({ events }) => events.map(({ name }) => name).join(' '));
  const publish = (name: string, more = {}) => publisher.publish({ topic: 'job:1', name, ...more });
  const respond = (next: Answer) => {
    answer = next;
  };
  return { clock, publisher, requests, given, names, publish, respond };
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error) => error.code as string,
  );

test('events of one topic go together, in order, and each has its own answer', async () => {
  const { clock, names, publish } = make();
  const outcomes = Promise.all(['a', 'b', 'c'].map((name) => publish(name)));
  await clock.advance(5);
  expect((await outcomes).map(({ position }) => position)).toEqual(['a', 'b', 'c']);
  expect(names()).toEqual(['a b c']);
});

test('a topic has one request at a time, and what came meanwhile goes with the next', async () => {
  const { clock, names, publish, respond } = make();
  let release = () => {};
  respond(
    (request) =>
      new Promise((resolve) => {
        release = () => resolve(accept(request));
      }),
  );
  void publish('a');
  await clock.advance(5);
  void publish('b');
  void publish('c');
  await clock.advance(1_000);
  expect(names()).toEqual(['a']);
  release();
  await clock.advance(5);
  expect(names()).toEqual(['a', 'b c']);
});

test('a request that fails is sent again with the same keys, until it is taken', async () => {
  const { clock, requests, publish, respond } = make();
  respond(() => {
    throw new TypeError('fetch failed');
  });
  const outcome = publish('a');
  await clock.advance(30_000);
  respond(refuse(503, 'REDIS_NOT_READY'));
  await clock.advance(30_000);
  respond(accept);
  await clock.advance(30_000);
  expect((await outcome).position).toBe('a');
  expect(requests.length).toBeGreaterThan(5);
  expect(new Set(requests.map(({ events }) => events[0]?.idempotencyKey)).size).toBe(1);
});

test('an answer that never comes is asked for again', async () => {
  const { clock, requests, publish, respond } = make({ timeoutMs: 1_000 });
  respond(() => new Promise(() => {}));
  const outcome = publish('a');
  await clock.advance(1_100);
  respond(accept);
  await clock.advance(2_000);
  expect((await outcome).durable).toBe(true);
  expect(requests).toHaveLength(2);
});

test('one event that is refused for good does not take the others with it', async () => {
  const { clock, given, publish, respond } = make();
  respond((request) => {
    const bad = request.events.some(({ name }) => name === 'c');
    return bad ? refuse(400, 'BAD_REQUEST')(request) : accept(request);
  });
  const outcomes = Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => codeOf(publish(name))));
  await clock.advance(5);
  expect(await outcomes).toEqual(['ok', 'ok', 'BAD_REQUEST', 'ok', 'ok']);
  expect(given).toEqual(['c BAD_REQUEST']);
});

test('a batch ends with an event that brings a state, and where the owner changes', async () => {
  const { clock, requests, names, publish } = make();
  void publish('a');
  void publish('b', { state: { n: 1 } });
  void publish('c', { owner: 'alice' });
  void publish('d', { owner: 'alice' });
  void publish('e');
  await clock.advance(60);
  expect(names()).toEqual(['a b', 'c d', 'e']);
  expect(requests.map(({ state, owner }) => [state, owner])).toEqual([
    [{ n: 1 }, undefined],
    [undefined, 'alice'],
    [undefined, undefined],
  ]);
});

test('a batch has at most maxBatchEvents events and maxBatchChars of JSON', async () => {
  const many = make({ maxBatchEvents: 3 });
  for (const name of ['a', 'b', 'c', 'd']) void many.publish(name);
  await many.clock.advance(60);
  expect(many.names()).toEqual(['a b c', 'd']);
  const big = make({ maxBatchChars: 100 });
  for (const name of ['a', 'b', 'c']) void big.publish(name, { data: { text: 'x'.repeat(name === 'a' ? 200 : 30) } });
  await big.clock.advance(60);
  expect(big.names()).toEqual(['a', 'b c']);
});

test('a full buffer refuses what comes, and room() tells when there is room', async () => {
  const { clock, publish, publisher, respond, given } = make({ maxBufferedEvents: 4 });
  respond(() => new Promise(() => {}));
  for (const name of ['a', 'b', 'c', 'd']) void publish(name);
  expect(await codeOf(publish('e'))).toBe('OVERFLOW');
  expect(given).toEqual(['e OVERFLOW']);
  let room = false;
  void publisher.room().then(() => {
    room = true;
  });
  await clock.advance(100);
  expect([room, publisher.buffered]).toEqual([false, 4]);
  respond(accept);
  await clock.advance(60_000);
  expect([room, publisher.buffered]).toEqual([true, 0]);
});

test('what is no JSON is refused alone', async () => {
  const { clock, publish } = make();
  const outcomes = Promise.all([codeOf(publish('a')), codeOf(publish('b', { data: 1n }))]);
  await clock.advance(5);
  expect(await outcomes).toEqual(['ok', 'BAD_REQUEST']);
});

test('a refused token is exchanged once, and then the events are given up', async () => {
  let asked = 0;
  const { clock, publish, requests, respond } = make({ token: () => `t${++asked}` });
  respond(refuse(401, 'UNAUTHORIZED'));
  const outcome = codeOf(publish('a'));
  await clock.advance(60_000);
  expect([await outcome, requests.length, asked]).toEqual(['UNAUTHORIZED', 2, 2]);
});

test('close() sends what is buffered and takes no more', async () => {
  const { clock, publish, publisher, names } = make({ lingerMs: 60_000 });
  const outcome = codeOf(publish('a'));
  const closing = publisher.close();
  expect(await codeOf(publish('b'))).toBe('CLOSED');
  await clock.advance(60_000);
  await closing;
  expect([await outcome, names(), clock.waiting]).toEqual(['ok', ['a'], 0]);
});

test('close() gives up after closeTimeoutMs, and leaves no timer', async () => {
  const { clock, publish, publisher, respond } = make({ closeTimeoutMs: 2_000 });
  respond(refuse(503, 'REDIS_NOT_READY'));
  const outcomes = Promise.all([codeOf(publish('a')), codeOf(publisher.publish({ topic: 'job:2', name: 'b' }))]);
  const closing = publisher.close();
  await clock.advance(2_000);
  await closing;
  expect([await outcomes, clock.waiting]).toEqual([['CLOSED', 'CLOSED'], 0]);
});

test('flush() waits for what was published before it, and not for what comes after', async () => {
  const { clock, publish, publisher } = make();
  void publish('a');
  let flushed = false;
  void publisher.flush().then(() => {
    flushed = true;
  });
  await clock.advance(5);
  await settle();
  expect(flushed).toBe(true);
});
