import { expect, test } from 'bun:test';
import type { TopicEvent, TopicItem } from '@usher/contracts';
import { UsherError } from './errors.ts';
import { createFakeClock, settle } from './fake-clock.fixture.ts';
import { createSubscription, type ItemHandlers, type SubscribeOptions } from './subscription.ts';

function make(options: SubscribeOptions<unknown, TopicEvent> = {}) {
  const clock = createFakeClock();
  const closing = new AbortController();
  const opened: { after: string | undefined; left: boolean; handlers: ItemHandlers }[] = [];
  const logged: unknown[] = [];
  const told: string[] = [];
  const log = (message: string, fields?: object) => logged.push([message, fields]);
  const subscription = createSubscription(
    {
      topic: 'job:1',
      open(after, handlers) {
        const entry = { after, left: false, handlers };
        opened.push(entry);
        return {
          unsubscribe() {
            entry.left = true;
          },
        };
      },
      connection: {
        clock,
        random: () => 0.5,
        logger: { debug: log, info: log, warn: log, error: log },
        signal: closing.signal,
        tell: (name, ...given) => told.push(`${name} ${given.join(' ')}`),
      },
    },
    (state) => state,
    options,
  );
  const item = (id: string, value: TopicItem) => opened.at(-1)?.handlers.onData({ id, data: value });
  const event = (n: number) =>
    item(`1-${n}`, { type: 'event', event: { position: `1-${n}`, at: 0, name: 'e', data: n } });
  return { clock, closing, opened, logged, told, subscription, item, event };
}

const snapshot: TopicItem = { type: 'snapshot', state: { a: 1 }, events: [] };

test('items go to the callback of their type, in order, and to onItem first', () => {
  const heard: string[] = [];
  const { item, event, subscription, told } = make({
    onItem: ({ type }, id) => heard.push(`item ${type} ${id}`),
    onSnapshot: ({ state }) => heard.push(`snapshot ${JSON.stringify(state)}`),
    onEvent: ({ event }) => heard.push(`event ${event.data}`),
    onDegraded: () => heard.push('degraded'),
    onReset: ({ reason }) => heard.push(`reset ${reason}`),
    onClosed: () => heard.push('closed'),
    onView: ({ status }) => heard.push(status),
  });
  item('1-0~a', snapshot);
  event(1);
  item('1-1~b', { type: 'degraded' });
  item('1-1~c', { type: 'reset', reason: 'limit', state: null, events: [] });
  item('1-1~d', { type: 'closed' });
  expect(heard).toEqual([
    'item snapshot 1-0~a',
    'snapshot {"a":1}',
    'current',
    'item event 1-1',
    'event 1',
    'current',
    'item degraded 1-1~b',
    'degraded',
    'degraded',
    'item reset 1-1~c',
    'reset limit',
    'current',
    'item closed 1-1~d',
    'closed',
    'closed',
  ]);
  expect(subscription.lastEventId).toBe('1-1~d');
  expect(told).toEqual(['onDegraded job:1', 'onReset job:1 limit']);
});

test('for await gives the items, and ends when the topic does', async () => {
  const { item, event, subscription, opened } = make();
  item('1-0~a', snapshot);
  event(1);
  item('1-1~c', { type: 'closed' });
  const types: string[] = [];
  for await (const { type } of subscription) types.push(type);
  expect(types).toEqual(['snapshot', 'event', 'closed']);
  expect(opened[0]?.left).toBe(true);
});

test('break unsubscribes', async () => {
  const { event, subscription, opened } = make();
  event(1);
  for await (const _ of subscription) break;
  expect(opened[0]?.left).toBe(true);
});

test('a slow reader is unsubscribed when its buffer is full, and continued from where it was', async () => {
  const { event, subscription, opened } = make({ bufferSize: 4 });
  for (let n = 1; n <= 4; n += 1) event(n);
  expect(opened[0]?.left).toBe(true);
  event(5);
  const reader = subscription[Symbol.asyncIterator]();
  const read: unknown[] = [];
  const next = async () => {
    const { value } = await reader.next();
    if (value?.type === 'event') read.push(value.event.data);
  };
  await next();
  await next();
  expect(opened).toHaveLength(1);
  await next();
  expect(opened.map(({ after }) => after)).toEqual([undefined, '1-4']);
  event(5);
  await next();
  await next();
  expect(read).toEqual([1, 2, 3, 4, 5]);
});

test('an error ends for await by being thrown, after what came before it', async () => {
  const { event, subscription, opened } = make();
  event(1);
  opened[0]?.handlers.onError(new UsherError('FORBIDDEN'));
  const read: string[] = [];
  const failure = (async () => {
    for await (const { type } of subscription) read.push(type);
  })();
  expect(await failure.catch(({ code }) => code)).toBe('FORBIDDEN');
  expect(read).toEqual(['event']);
  expect(subscription.view.status).toBe('failed');
});

test('an error goes to onError once; without onError it is logged, and never an unhandled rejection', async () => {
  const errors: string[] = [];
  const told = make({ onError: ({ code }) => errors.push(code) });
  told.opened[0]?.handlers.onError(new UsherError('FORBIDDEN'));
  told.opened[0]?.handlers.onError(new UsherError('INTERNAL'));
  expect(errors).toEqual(['FORBIDDEN']);
  const untold = make({ onEvent: () => {} });
  untold.opened[0]?.handlers.onError(new UsherError('FORBIDDEN'));
  expect(untold.logged).toHaveLength(1);
  make().opened[0]?.handlers.onError(new UsherError('FORBIDDEN'));
  await settle();
});

test('a callback that throws is reported, and the next one is called', () => {
  const heard: string[] = [];
  const { event, logged } = make({
    onItem: () => {
      throw new Error('a mistake of the app');
    },
    onEvent: ({ event }) => heard.push(event.name),
  });
  event(1);
  event(2);
  expect([heard.length, logged.length]).toEqual([2, 2]);
});

test('a server that lets go without closing the topic is asked again, after the last position', async () => {
  const { event, opened, clock } = make();
  event(1);
  opened[0]?.handlers.onComplete();
  await clock.advance(250);
  expect(opened.map(({ after }) => after)).toEqual([undefined, '1-1']);
  opened[1]?.handlers.onComplete();
  await clock.advance(499);
  expect(opened).toHaveLength(2);
  await clock.advance(1);
  expect(opened).toHaveLength(3);
});

test('closing the client ends it without an error', async () => {
  const { closing, opened, subscription } = make();
  const reading = (async () => {
    for await (const _ of subscription);
    return 'ended';
  })();
  await settle();
  closing.abort();
  opened[0]?.handlers.onComplete();
  expect(await reading).toBe('ended');
});

test('a signal, unsubscribe() and await using end it', async () => {
  const leaving = new AbortController();
  const bySignal = make({ signal: leaving.signal });
  leaving.abort();
  expect(bySignal.opened[0]?.left).toBe(true);
  const before = make({ signal: AbortSignal.abort() });
  expect(before.opened).toHaveLength(0);
  const byCall = make();
  byCall.subscription.unsubscribe();
  expect(byCall.opened[0]?.left).toBe(true);
  const byScope = make();
  {
    await using _ = byScope.subscription;
  }
  expect(byScope.opened[0]?.left).toBe(true);
});

test('leaving from inside a callback is the last that is heard', () => {
  const heard: unknown[] = [];
  const made = make({
    onEvent({ event }) {
      heard.push(event.data);
      made.subscription.unsubscribe();
    },
  });
  made.event(1);
  made.event(2);
  expect(heard).toEqual([1]);
});

test('watch() tells of each change of the view until it is stopped', () => {
  const { event, subscription } = make();
  const seen: number[] = [];
  const stop = subscription.watch(() => seen.push(subscription.view.events.length));
  event(1);
  event(2);
  stop();
  event(3);
  expect(seen).toEqual([1, 2]);
});

test('a subscription with callbacks cannot be iterated as well', () => {
  const { subscription } = make({ onEvent: () => {} });
  expect(() => subscription[Symbol.asyncIterator]()).toThrow(TypeError);
});
