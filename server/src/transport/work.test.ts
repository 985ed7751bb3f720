import { afterEach, expect, test } from 'bun:test';
import { type Principal, UsherError } from '@usher/contracts';
import { createWorkCounter, type WorkCounter, type WorkCounterOptions } from './work.ts';

const granted = (userId: string, more: Partial<Principal> = {}) => ({
  principal: { userId, sessionId: 's', scopes: [], topics: [], expiresAt: null, ...more },
  issuedAt: 1,
});
const ada = granted('ada');
const bob = granted('bob');

const counters: WorkCounter[] = [];
afterEach(() => {
  for (const counter of counters.splice(0)) counter.close();
});
const create = (options: Partial<WorkCounterOptions> = {}): WorkCounter => {
  const counter = createWorkCounter({ isRevoked: () => false, sweepIntervalMs: 1, ...options });
  counters.push(counter);
  return counter;
};
const isSettled = async (promise: Promise<unknown>): Promise<boolean> => {
  let settled = false;
  void promise.then(() => {
    settled = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
};
const aborted = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));

test('begin() refuses a user what is beyond his bound, and takes it again when something has ended', () => {
  const counter = create({ maxPerUser: 2 });
  const first = counter.request(1).begin(ada, undefined);
  counter.request(1).begin(ada, undefined);
  expect(() => counter.request(1).begin(ada, undefined)).toThrow('At most 2 calls');
  expect(() => counter.request(1).begin(bob, undefined)).not.toThrow();
  first.end();
  first.end();
  counter.request(1).begin(ada, undefined);
  expect(() => counter.request(1).begin(ada, undefined)).toThrow('At most 2 calls');
});

test('turn() of a whole batch is taken at once, held until its answer is made, and then free for the next', async () => {
  const counter = create({ maxReadsAtOnce: 4 });
  const batch = counter.request(3);
  const works = [1, 2, 3].map(() => batch.begin(ada, undefined));
  for (const work of works) expect(await isSettled(work.turn())).toBe(true);
  const next = counter.request(2);
  const waiting = next.begin(ada, undefined).turn();
  expect(await isSettled(waiting)).toBe(false);
  expect(await isSettled(counter.request(1).begin(bob, undefined).turn())).toBe(true);
  for (const work of works) work.end();
  expect(await isSettled(waiting)).toBe(false);
  batch.end();
  expect(await isSettled(waiting)).toBe(true);
});

test('rest() gives the turn of one call back, and only that', async () => {
  const counter = create({ maxReadsAtOnce: 2 });
  const batch = counter.request(2);
  const [poll, read] = [batch.begin(ada, undefined), batch.begin(ada, undefined)];
  await Promise.all([poll.turn(), read.turn()]);
  const one = counter.request(1).begin(ada, undefined).turn();
  const two = counter.request(1).begin(ada, undefined).turn();
  poll.rest();
  expect([await isSettled(one), await isSettled(two)]).toEqual([true, false]);
  batch.end();
  expect(await isSettled(two)).toBe(true);
});

test('a call that begins after its answer has begun to be sent holds a turn of its own', async () => {
  const counter = create({ maxReadsAtOnce: 1 });
  for (let round = 0; round < 3; round++) {
    const stream = counter.request(2);
    stream.end();
    const works = [stream.begin(ada, undefined), stream.begin(ada, undefined)];
    const turns = works.map((work) => work.turn());
    expect([await isSettled(turns[0] as Promise<void>), await isSettled(turns[1] as Promise<void>)]).toEqual([
      true,
      false,
    ]);
    works[0]?.end();
    expect(await isSettled(turns[1] as Promise<void>)).toBe(true);
    works[1]?.end();
  }
});

test('what is under way ends with the right it stands on, and says why', async () => {
  const revoked = new Set<string>();
  const counter = create({ isRevoked: ({ userId }) => revoked.has(userId), now: () => 1_000 });
  const work = counter.request(1).begin(ada, undefined);
  const short = counter.request(1).begin(granted('eve', { expiresAt: 1_000 }), undefined);
  const expired = (await aborted(short.signal)) as UsherError;
  expect(expired).toBeInstanceOf(UsherError);
  expect(expired.reason).toBe('TOKEN_EXPIRED');
  expect(work.signal.aborted).toBe(false);
  revoked.add('ada');
  expect(((await aborted(work.signal)) as UsherError).reason).toBe('SESSION_REVOKED');
});

test('what is under way ends when its caller leaves, without a reason of ours', () => {
  const caller = new AbortController();
  const work = create().request(1).begin(ada, caller.signal);
  caller.abort();
  expect(work.signal.aborted).toBe(true);
  expect(work.signal.reason).not.toBeInstanceOf(UsherError);
});
