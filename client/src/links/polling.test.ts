import { expect, test } from 'bun:test';
import type { TopicItem } from '@usher/contracts';
import { createFakeClock } from '../fake-clock.fixture.ts';
import { FakeEnvironment } from '../fake-host.fixture.ts';
import { quietLogger } from '../logger.ts';
import { createNotifier } from '../notifier.ts';
import { createPace } from '../pace.ts';
import type { ConnectionState, ConnectionStatus } from '../state.ts';
import { createFakeChain, eventItem, type Sent } from './fake-chain.fixture.ts';
import { type FallbackSource, type PollingOptions, pollingFallbackLink } from './polling.ts';

function make(options: PollingOptions & Pick<FallbackSource, 'close'> = {}) {
  const clock = createFakeClock();
  const { watch, emit } = createNotifier<ConnectionState>(quietLogger, {});
  let state = { status: 'live' } as ConnectionState;
  const connection: FallbackSource = {
    get state() {
      return state;
    },
    watch,
    polls: createPace({ clock, environment: new FakeEnvironment(), random: () => 0.5 }),
    clock,
    ...(options.close && { close: options.close }),
  };
  const chain = createFakeChain(pollingFallbackLink({ ...options, connection }));
  const become = (status: ConnectionStatus) => {
    state = { status } as ConnectionState;
    emit(state);
  };
  return { clock, become, ...chain };
}

const snapshot: TopicItem = { type: 'snapshot', state: null, events: [] };
const answer = (entry: Sent, lastEventId: string, ...items: [id: string, item: TopicItem][]) =>
  entry.data({ items: items.map(([id, item]) => ({ id, item })), lastEventId });

test('the position goes from the WebSocket to the polls and back', async () => {
  const { clock, become, latest, subscribe, sent } = make();
  const { heard } = subscribe({ topic: 'job:1', history: 5 });
  const socket = latest();
  expect(socket.op).toMatchObject({
    type: 'subscription',
    path: 'topic.subscribe',
    input: { topic: 'job:1', history: 5 },
  });
  socket.item('1-0~a', snapshot);
  socket.item('1-1', eventItem('1-1'));
  become('connecting');
  expect(socket.left).toBe(false);
  become('polling');
  expect(socket.left).toBe(true);
  await clock.advance(0);
  expect(latest().op).toMatchObject({
    type: 'query',
    path: 'topic.poll',
    input: { topic: 'job:1', lastEventId: '1-1', waitMs: 25_000, limit: 200, history: 5 },
  });
  answer(latest(), '1-3', ['1-2', eventItem('1-2')], ['1-3', eventItem('1-3')]);
  await clock.advance(250);
  const pending = latest();
  expect(pending.op.input).toMatchObject({ lastEventId: '1-3' });
  become('live');
  expect(pending.left).toBe(true);
  expect(latest().op).toMatchObject({ path: 'topic.subscribe', input: { topic: 'job:1', lastEventId: '1-3' } });
  answer(pending, '1-4', ['1-4', eventItem('1-4')]);
  latest().item('1-4', eventItem('1-4'));
  await clock.advance(60_000);
  expect(heard).toEqual(['snapshot 1-0~a', '1-1', '1-2', '1-3', '1-4']);
  expect(sent).toHaveLength(4);
});

test('an answer without items moves the position too', async () => {
  const { become, latest, subscribe, clock } = make();
  become('polling');
  subscribe({ topic: 'job:1', lastEventId: '1-1' });
  await clock.advance(0);
  answer(latest(), '1-9');
  await clock.advance(250);
  expect(latest().op.input).toMatchObject({ lastEventId: '1-9' });
});

test('what the WebSocket says after the polls took over is not heard', async () => {
  const { become, latest, subscribe, clock } = make();
  const { heard } = subscribe({ topic: 'job:1' });
  const socket = latest();
  become('polling');
  await clock.advance(0);
  socket.item('1-1', eventItem('1-1'));
  socket.complete();
  expect(heard).toEqual([]);
});

test('a subscription that begins while polling gets its snapshot from a poll', async () => {
  const { become, latest, subscribe, clock } = make();
  become('polling');
  const { heard } = subscribe({ topic: 'job:1' });
  await clock.advance(0);
  expect(latest().op.input).not.toHaveProperty('lastEventId', expect.any(String));
  answer(latest(), '1-0~s', ['1-0~s', snapshot]);
  await clock.advance(250);
  expect(heard).toEqual(['snapshot 1-0~s']);
  expect(latest().op.input).toMatchObject({ lastEventId: '1-0~s' });
});

test('polls are never closer than minIntervalMs, however fast the answers come', async () => {
  const { become, latest, subscribe, clock, sent } = make({ minIntervalMs: 250 });
  become('polling');
  subscribe({ topic: 'job:1' });
  let answered = 0;
  for (let ms = 0; ms < 2_500; ms += 10) {
    await clock.advance(10);
    if (sent.length > answered) {
      answered = sent.length;
      answer(latest(), '1-0', ['1-0~x', { type: 'degraded' }]);
    }
  }
  expect(sent.length).toBeLessThanOrEqual(11);
});

test('failed polls back off, and all topics share the budget', async () => {
  const { become, subscribe, clock, sent } = make();
  become('polling');
  for (const topic of ['job:1', 'job:2', 'job:3']) subscribe({ topic });
  await clock.advance(0);
  expect(sent).toHaveLength(3);
  for (const entry of sent) entry.error('INTERNAL');
  await clock.advance(499);
  expect(sent).toHaveLength(3);
  await clock.advance(1_501);
  expect(sent).toHaveLength(6);
  for (const entry of sent.slice(3)) entry.error('INTERNAL');
  await clock.advance(3_999);
  expect(sent).toHaveLength(6);
});

test('a poll that is never answered is given up and asked again', async () => {
  const { become, subscribe, clock, sent } = make({ waitMs: 20_000, timeoutMs: 5_000 });
  become('polling');
  subscribe({ topic: 'job:1' });
  await clock.advance(25_000);
  expect(sent[0]?.left).toBe(true);
  await clock.advance(1_000);
  expect(sent).toHaveLength(2);
});

test('more topics than a browser has connections are polled shortly, in turn', async () => {
  const { become, subscribe, clock, sent } = make({ maxLongPolls: 2, shortIntervalMs: 2_000 });
  become('polling');
  for (const topic of ['job:1', 'job:2', 'job:3']) subscribe({ topic });
  await clock.advance(0);
  expect(sent.map(({ op }) => (op.input as { waitMs: number }).waitMs)).toEqual([0, 0, 0]);
  for (const entry of [...sent]) answer(entry, '1-0');
  await clock.advance(1_999);
  expect(sent).toHaveLength(3);
  await clock.advance(1);
  expect(sent).toHaveLength(6);
});

test('closed ends the subscription', async () => {
  const { become, subscribe, clock, sent, latest } = make();
  become('polling');
  const { heard } = subscribe({ topic: 'job:1' });
  await clock.advance(0);
  answer(latest(), '1-2~c', ['1-2', eventItem('1-2')], ['1-2~c', { type: 'closed' }]);
  await clock.advance(60_000);
  expect(heard).toEqual(['1-2', 'closed 1-2~c', 'complete']);
  expect(sent).toHaveLength(1);
});

test('what is final for a topic is told, and so is one that is not there', async () => {
  for (const code of ['FORBIDDEN', 'TOPIC_UNKNOWN'] as const) {
    const { become, subscribe, clock, latest, sent } = make();
    become('polling');
    const { heard } = subscribe({ topic: 'job:1' });
    await clock.advance(0);
    latest().error(code);
    await clock.advance(60_000);
    expect([heard, sent.length]).toEqual([[`error ${code}`], 1]);
  }
});

test('a token that is refused closes the connection: another was tried already', async () => {
  for (const code of ['UNAUTHORIZED', 'MISSING_SESSION'] as const) {
    const closed: string[] = [];
    const { become, subscribe, clock, latest, sent } = make({ close: (error) => closed.push(error.code) });
    become('polling');
    subscribe({ topic: 'job:1' });
    await clock.advance(0);
    latest().error(code);
    await clock.advance(60_000);
    expect([closed, sent.length]).toEqual([[code], 1]);
  }
});

test('leaving, by unsubscribe() or by a signal, leaves no timer and no request', async () => {
  for (const leave of ['unsubscribe', 'signal']) {
    const { become, subscribe, clock, latest } = make();
    become('polling');
    const leaving = new AbortController();
    const { heard, stop } = subscribe({ topic: 'job:1' }, leaving.signal);
    await clock.advance(0);
    if (leave === 'signal') leaving.abort();
    else stop();
    await clock.advance(0);
    expect([latest().left, clock.waiting, heard]).toEqual([true, 0, leave === 'signal' ? ['complete'] : []]);
  }
});

test('other subscriptions, queries and mutations are not touched', () => {
  const { trpc, sent } = make();
  void trpc.topic.state.query({ topic: 'job:1' });
  expect(sent[0]?.op).toMatchObject({ type: 'query', path: 'topic.state' });
});
