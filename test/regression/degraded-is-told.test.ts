// Found by the auditor: a poll of a topic whose Redis is away was answered at once with nothing but `degraded`, so that
// pollers asked without end; and a subscriber that joined while Redis went, or came back, heard one half of it only.
import { expect, test } from 'bun:test';
import type { Principal } from '@usher/contracts';
import { createHub, type Hub } from '../../server/src/hub/hub.ts';
import { join } from '../../server/src/hub/join.ts';
import { createLog } from '../../server/src/log.ts';
import { createMetrics } from '../../server/src/metrics/metrics.ts';
import { createDefinitions } from '../../server/src/topics/definitions.ts';
import type { Continuation, TopicLog } from '../../server/src/topics/log.ts';
import { createMemoryLog } from '../../server/src/topics/memory.ts';
import { createPoll } from '../../server/src/topics/poll.ts';
import { eventually } from '../harness/wait.ts';

const topic = 'public:a';
const reader: Principal = { userId: 'a', sessionId: 's', scopes: [], topics: [], expiresAt: null };
const entry = { tail: '"name":"a","data":{}', idempotencyKey: undefined };
const load = () => undefined;

/** A hub whose Redis can be sent away, and whose readers' reads can be held. */
function createStand() {
  const memory = createMemoryLog({ topicMaxEvents: 100, topicTtlMs: 60_000, topicCloseGraceMs: 60_000 });
  let released = Promise.resolve();
  let reads = 0;
  let end: string | undefined;
  const log: TopicLog = {
    ...memory,
    async read(name, after, page): Promise<Continuation> {
      // The channel, which is at the end, is not held.
      if (after !== end) {
        reads += 1;
        await released;
      }
      return memory.read(name, after, page);
    },
  };
  const listeners = new Set<() => void>();
  const availability = {
    available: true,
    onChange(listener: () => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const limits = {
    pageEvents: 64,
    pageBytes: 262_144,
    ringEvents: 256,
    ringBytes: 1_048_576,
    maxReplayEvents: 1_000,
    maxHistoryBytes: 262_144,
    maxPending: 1_000,
  };
  const metrics = createMetrics('test', 'bun');
  const logger = createLog({ level: 'silent' });
  const hub: Hub = createHub({ log, availability, publish() {}, metrics, logger, limits, load, degradedAfterMs: 0 });
  return {
    hub,
    /** Reads of the log so far. */
    get reads() {
      return reads;
    },
    poll: createPoll({
      hub,
      metrics,
      load,
      authorize: async () => {},
      definitions: createDefinitions(),
      maxReplayEvents: 1_000,
    }),
    async append(count: number): Promise<readonly string[]> {
      const entries = Array.from({ length: count }, () => entry);
      const appended = await memory.append(topic, { entries, mode: 'publish', state: undefined, owner: undefined });
      if (appended.outcome !== 'appended') throw new Error(appended.outcome);
      end = appended.last;
      return appended.positions;
    },
    setAvailable(available: boolean): void {
      availability.available = available;
      for (const listener of listeners) listener();
    },
    holdReads(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      released = promise;
      return resolve;
    },
    [Symbol.dispose]() {
      hub.close();
      memory.close();
    },
  };
}

/** Joins from a position the channel does not remember, and gives the types of what was told. */
async function joinFrom(hub: Hub, position: string) {
  const channel = await hub.acquire(topic);
  const told: string[] = [];
  const emit = (item: { readonly json: string }): void => {
    told.push((JSON.parse(item.json) as { type: string }).type);
  };
  const joined = join(
    { signal: new AbortController().signal, emit, attach: () => void told.push('joined') },
    { channel, hub, position, history: 0, maxReplayEvents: 1_000, load: undefined },
  );
  return { told, joined };
}

test('a poll that begins while Redis is away waits for what is new', async () => {
  using stand = createStand();
  const [position] = await stand.append(1);
  const channel = await stand.hub.acquire(topic);
  stand.setAvailable(false);
  await eventually(() => channel.degraded);
  const answer = stand.poll(reader, { topic, lastEventId: position, waitMs: 20_000, limit: 10, history: 0 }, undefined);
  // The poll is there as soon as it holds the channel as well.
  await eventually(() => channel.users === 2);
  stand.setAvailable(true);
  expect((await answer).items.map(({ item }) => item.type)).toEqual(['degraded', 'restored']);
});

test.each([
  ['goes', false, ['degraded']],
  ['comes back', true, ['degraded', 'restored']],
])('one who joins while Redis %s is told', async (_, returns, wanted) => {
  using stand = createStand();
  // More than one page, so that there is a read after the moment in which the reader is told how things stand.
  const [first] = await stand.append(100);
  const channel = await stand.hub.acquire(topic);
  if (returns) stand.setAvailable(false);
  await eventually(() => channel.degraded === returns);
  const release = stand.holdReads();
  const { told, joined } = await joinFrom(stand.hub, first ?? '');
  await eventually(() => stand.reads === 1);
  release();
  const releaseNext = stand.holdReads();
  await eventually(() => stand.reads === 2);
  stand.setAvailable(returns);
  await eventually(() => channel.degraded !== returns);
  releaseNext();
  await joined;
  expect(told.filter((type) => type !== 'event')).toEqual(['resumed', ...wanted, 'joined']);
});
