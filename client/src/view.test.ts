import { expect, test } from 'bun:test';
import type { TopicEvent, TopicItem } from '@usher/contracts';
import { reducerOf } from './reducers.ts';
import { createFold } from './view.ts';

let seq = 0;
const event = (name: string, data: unknown = {}): TopicEvent => ({ position: `1-${++seq}`, at: 0, name, data });
const foldOf = (name: string, keep = 3) => createFold<unknown, TopicEvent>(reducerOf(name), keep);
const take = (fold: ReturnType<typeof foldOf>, ...items: TopicItem[]) => {
  for (const item of items) fold.take(item);
  return fold.view;
};

test('a snapshot sets the state, and events are folded into it', () => {
  const fold = foldOf('job');
  expect(fold.view.status).toBe('waiting');
  take(fold, { type: 'snapshot', state: { status: 'pending', progress: 3 }, events: [] });
  const view = take(fold, { type: 'event', event: event('job_started') });
  expect(view).toMatchObject({ status: 'current', state: { status: 'running', progress: 3 } });
  expect(view.events.map(({ name }) => name)).toEqual(['job_started']);
});

test('a reset replaces what was known, and says why', () => {
  const fold = foldOf('job');
  take(
    fold,
    { type: 'snapshot', state: { status: 'running' }, events: [] },
    { type: 'event', event: event('job_failed') },
  );
  const view = take(fold, { type: 'reset', reason: 'expired', state: { status: 'completed' }, events: [] });
  expect(view).toMatchObject({ state: { status: 'completed' }, events: [], reset: 'expired' });
});

test('past events are folded only when the log has no state', () => {
  const events = [event('job_started'), event('job_completed')];
  expect(take(foldOf('job'), { type: 'snapshot', state: null, events }).state).toEqual({ status: 'completed' });
  expect(take(foldOf('job'), { type: 'snapshot', state: { status: 'failed' }, events }).state).toEqual({
    status: 'failed',
  });
});

test('only the latest events are kept', () => {
  const fold = foldOf('public', 2);
  take(fold, { type: 'snapshot', state: null, events: [event('a'), event('b'), event('c')] });
  expect(fold.view.events.map(({ name }) => name)).toEqual(['b', 'c']);
  take(fold, { type: 'event', event: event('d') });
  expect(fold.view.events.map(({ name }) => name)).toEqual(['c', 'd']);
  const none = take(
    foldOf('public', 0),
    { type: 'snapshot', state: 1, events: [event('a')] },
    { type: 'event', event: event('b') },
  );
  expect([none.events, none.state]).toEqual([[], 1]);
});

test('degraded, restored, resumed and closed are its status', () => {
  const fold = foldOf('public');
  const statuses = (
    [
      { type: 'snapshot', state: null, events: [] },
      { type: 'degraded' },
      { type: 'restored' },
      { type: 'degraded' },
      { type: 'resumed', replayed: 0 },
      { type: 'closed' },
    ] as const
  ).map((item) => take(fold, item).status);
  expect(statuses).toEqual(['current', 'degraded', 'current', 'degraded', 'current', 'closed']);
});

test('the event that closed a topic stands once', () => {
  const last = event('job_completed');
  const view = take(foldOf('job'), { type: 'event', event: last }, { type: 'closed', event: last });
  expect([view.events, view.state]).toEqual([[last], { status: 'completed' }]);
});

test('presence is a fold of who joined and who left', () => {
  const member = (userId: string, connections = 1) => ({ userId, connections, since: 0 });
  const fold = foldOf('public');
  take(fold, { type: 'presence', joined: [member('a'), member('b')], left: [] });
  take(fold, { type: 'presence', joined: [member('b', 2)], left: [member('a')] });
  expect(fold.view.members).toEqual([member('b', 2)]);
});

test('the view is the same object until something changes', () => {
  const fold = foldOf('public');
  const before = take(fold, { type: 'snapshot', state: null, events: [] });
  expect(fold.view).toBe(before);
  expect(take(fold, { type: 'event', event: event('a') })).not.toBe(before);
});

test('reducerOf() knows the topics in the box, and leaves others as they are', () => {
  expect(reducerOf('process')({ status: 'running' }, event('status', { status: 'exited', exitCode: 1 }))).toEqual({
    status: 'exited',
    exitCode: 1,
  });
  expect(reducerOf('process')({ status: 'running' }, event('output', { data: 'x' }))).toEqual({ status: 'running' });
  expect(reducerOf('agent')(null, event('agent_completed'))).toEqual({ status: 'completed' });
  expect(reducerOf('order')({ a: 1 }, event('job_started'))).toEqual({ a: 1 });
  expect(reducerOf('job')({ a: 1 }, event('toString'))).toEqual({ a: 1 });
});
