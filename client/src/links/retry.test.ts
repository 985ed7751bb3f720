import { expect, test } from 'bun:test';
import { toUsherError } from '../errors.ts';
import { createFakeClock } from '../fake-clock.fixture.ts';
import { createFakeChain, eventItem } from './fake-chain.fixture.ts';
import { type BackoffRetryOptions, backoffRetryLink } from './retry.ts';

function make(options: BackoffRetryOptions = {}) {
  const clock = createFakeClock();
  return { clock, ...createFakeChain(backoffRetryLink({ clock, random: () => 0.5, ...options })) };
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    (error) => toUsherError(error).code,
  );

test('a subscription that fails continues from the last position it gave', async () => {
  const { clock, sent, latest, subscribe } = make();
  const { heard } = subscribe({ topic: 'job:1' });
  latest().item('1-1', eventItem('1-1'));
  latest().error('INTERNAL');
  await clock.advance(250);
  expect(sent.map(({ op }) => op.input)).toEqual([{ topic: 'job:1' }, { topic: 'job:1', lastEventId: '1-1' }]);
  latest().item('1-2', eventItem('1-2'));
  expect(heard).toEqual(['1-1', '1-2']);
});

test('a topic that is not there is asked for during 10 s, the last time at their end, and then final', async () => {
  const { clock, sent, latest, subscribe } = make();
  const { heard } = subscribe({ topic: 'job:1' });
  const startedAt = clock.now();
  let asked = 0;
  while (heard.length === 0) {
    if (sent.length > asked) {
      asked = sent.length;
      latest().error('TOPIC_UNKNOWN');
    } else await clock.advance(10);
  }
  expect(heard).toEqual(['error TOPIC_UNKNOWN']);
  expect(clock.now() - startedAt).toBe(10_000);
  expect(asked).toBe(15);
});

test('a topic that comes is read, and its time starts over', async () => {
  const { clock, sent, latest, subscribe } = make({ unknownTopicMs: 2_000 });
  const { heard } = subscribe({ topic: 'job:1' });
  for (let round = 0; round < 2; round += 1) {
    latest().error('TOPIC_UNKNOWN');
    await clock.advance(750);
    latest().error('TOPIC_UNKNOWN');
    await clock.advance(750);
    latest().item(`1-${round}`, eventItem(`1-${round}`));
    latest().error('INTERNAL');
    await clock.advance(5_000);
  }
  expect(heard).toEqual(['1-0', '1-1']);
  expect(sent.length).toBeGreaterThan(4);
});

for (const code of ['FORBIDDEN', 'BAD_REQUEST', 'TOPIC_CLOSED', 'UNAUTHORIZED', 'CLOSED'] as const) {
  test(`${code} is final`, async () => {
    const { clock, sent, latest, subscribe } = make();
    const { heard } = subscribe({ topic: 'job:1' });
    latest().error(code);
    await clock.advance(600_000);
    expect([heard, sent.length]).toEqual([[`error ${code}`], 1]);
  });
}

test('a subscription goes on for ever, and its delays start over after 10 s', async () => {
  const { clock, sent, latest, subscribe } = make();
  const { heard } = subscribe({ topic: 'job:1' });
  for (let n = 0; n < 20; n += 1) {
    latest().error('SLOW_CONSUMER');
    await clock.advance(10_000);
  }
  expect(sent).toHaveLength(21);
  const waits: number[] = [];
  for (const standsMs of [10_000, 0, 0]) {
    await clock.advance(standsMs);
    const before = sent.length;
    const erredAt = clock.now();
    latest().error('SLOW_CONSUMER');
    while (sent.length === before) await clock.advance(50);
    waits.push(clock.now() - erredAt);
  }
  expect([waits, heard]).toEqual([[250, 500, 1_000], []]);
});

test('a wait the server asked for is kept', async () => {
  const { clock, sent, latest, subscribe } = make();
  subscribe({ topic: 'job:1' });
  latest().error('RATE_LIMITED', { retryAfterMs: 5_000 });
  await clock.advance(4_999);
  expect(sent).toHaveLength(1);
  await clock.advance(1);
  expect(sent).toHaveLength(2);
});

test('a query is tried three times more, and then its error is told', async () => {
  const { clock, sent, latest, trpc } = make();
  const outcome = codeOf(trpc.topic.state.query({ topic: 'job:1' }));
  for (let n = 0; n < 4; n += 1) {
    await clock.advance(5_000);
    latest().error('REDIS_NOT_READY');
  }
  await clock.advance(0);
  expect([await outcome, sent.length]).toEqual(['REDIS_NOT_READY', 4]);
});

test('a mutation is sent again only when that cannot do it twice', async () => {
  const event = { name: 'e', data: {} };
  const { clock, sent, latest, trpc } = make();
  const repeated = async (call: () => Promise<unknown>, error: 'NETWORK' | 'RATE_LIMITED') => {
    const before = sent.length;
    const outcome = codeOf(call());
    latest().error(error === 'NETWORK' ? new TypeError('fetch failed') : error);
    await clock.advance(1_000);
    if (sent.length > before + 1) latest().data({});
    await outcome;
    return sent.length - before === 2;
  };
  const { topic } = trpc;
  expect(await repeated(() => topic.publish.mutate({ topic: 'job:1', event }), 'NETWORK')).toBe(false);
  expect(await repeated(() => topic.publish.mutate({ topic: 'job:1', event, idempotencyKey: 'k' }), 'NETWORK')).toBe(
    true,
  );
  expect(await repeated(() => topic.publish.mutate({ topic: 'job:1', event }), 'RATE_LIMITED')).toBe(true);
  const keyed = { ...event, idempotencyKey: 'k' };
  expect(await repeated(() => topic.publishMany.mutate({ topic: 'job:1', events: [keyed, keyed] }), 'NETWORK')).toBe(
    true,
  );
  expect(await repeated(() => topic.publishMany.mutate({ topic: 'job:1', events: [keyed, event] }), 'NETWORK')).toBe(
    false,
  );
});

test('a call that is not answered in time is TIMEOUT; a poll has the time it asked for', async () => {
  const { clock, trpc, latest } = make({ timeoutMs: 1_000, maxRetries: 0 });
  const state = codeOf(trpc.topic.state.query({ topic: 'job:1' }));
  await clock.advance(1_000);
  expect(await state).toBe('TIMEOUT');
  expect(latest().left).toBe(true);
  const poll = codeOf(trpc.topic.poll.query({ topic: 'job:1', waitMs: 20_000 }) as Promise<unknown>);
  await clock.advance(20_999);
  latest().data({ items: [] });
  expect(await poll).toBe('ok');
});

test('leaving cancels the wait for the next try', async () => {
  const { clock, sent, latest, subscribe } = make();
  const { stop } = subscribe({ topic: 'job:1' });
  latest().error('INTERNAL');
  stop();
  expect(clock.waiting).toBe(0);
  await clock.advance(60_000);
  expect(sent).toHaveLength(1);
});
