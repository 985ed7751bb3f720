import { beforeEach, describe, expect, test } from 'bun:test';
import type {
  AppendEntry,
  AppendRequest,
  AppendResult,
  LiveMessage,
  LogLimits,
  RangeRequest,
  TopicLog,
} from './log.ts';
import { isOlder, partsOf } from './position.ts';

/** What every log of the suite is made with: small enough to reach each bound. */
export const suiteLimits = {
  topicMaxEvents: 10,
  topicTtlMs: 60_000,
  topicCloseGraceMs: 5_000,
  maxIdempotencyKeys: 20,
  readerTtlMs: 30_000,
} as const satisfies LogLimits;

/** A log, and the hand that spoils what it stores. */
export interface LogHarness {
  readonly log: TopicLog;
  /** The same store, seen by another instance. */
  readonly other: TopicLog;
  /** What the store holds of a topic: names, in any words. */
  leftovers(topic: string): Promise<readonly string[]>;
  /** Makes that much time pass for whatever has a life. */
  pass(ms: number): Promise<void>;
  /** The topic's last position comes from a clock that was this far ahead. */
  setClockBack(topic: string, ms: number): Promise<void>;
  /** Everything is gone. */
  empty(): Promise<void>;
  /** What was published has arrived by the time this resolves. */
  settle(): Promise<void>;
}

const tail = (n: number | string): string => `"name":"e","data":${JSON.stringify(n)}`;
const entry = (n: number | string, idempotencyKey?: string): AppendEntry => ({ tail: tail(n), idempotencyKey });
const many = (count: number, from = 1): AppendEntry[] => Array.from({ length: count }, (_, at) => entry(from + at));
const request = (entries: readonly AppendEntry[], more: Partial<AppendRequest> = {}): AppendRequest => ({
  entries,
  state: undefined,
  owner: undefined,
  mode: 'publish',
  ...more,
});

type Appended = Extract<AppendResult, { outcome: 'appended' }>;
const appended = async (result: Promise<AppendResult>): Promise<Appended> => {
  const settled = await result;
  if (settled.outcome !== 'appended') throw new Error(`Wanted an append: outcome is "${settled.outcome}"`);
  return settled;
};

const page = { maxEvents: 100, maxBytes: 1_000_000 };
const look = { maxEvents: 100, maxBytes: 1_000_000, touch: false };

let topics = 0;

/** What every log of topics must do; `make` is asked before each test. */
export function describeTopicLog(name: string, make: () => Promise<LogHarness>): void {
  describe(name, () => {
    let store: LogHarness;
    let log: TopicLog;
    let topic: string;
    beforeEach(async () => {
      store = await make();
      log = store.log;
      topics += 1;
      topic = `job:${topics}`;
    });

    const publish = (entries: readonly AppendEntry[], more: Partial<AppendRequest> = {}): Promise<Appended> =>
      appended(log.append(topic, request(entries, more)));
    const entriesNow = async () => (await log.snapshot(topic, look)).entries;
    /** A position, and so many events after it. */
    const missed = async (count: number): Promise<string> => {
      const { last } = await publish([entry('seen')]);
      for (let at = 0; at < count; at += 5) await publish(many(Math.min(5, count - at), at));
      return last;
    };

    describe('append()', () => {
      test('numbers by one and gives the ids it stored', async () => {
        const first = await publish(many(3));
        const second = await publish(many(2, 4));
        const positions = [...first.positions, ...second.positions];
        const start = partsOf(positions[0] as string).seq;
        expect(positions.map((position) => partsOf(position).seq)).toEqual([0, 1, 2, 3, 4].map((n) => start + n));
        expect(second.last).toBe(positions.at(-1) as string);
        expect(await entriesNow()).toMatchObject(positions.map((position, at) => ({ position, tail: tail(at + 1) })));
      });

      test('never goes back in time', async () => {
        const ahead = 3_600_000;
        await store.setClockBack(topic, ahead);
        const before = await log.head(topic);
        const { positions } = await publish(many(2));
        const last = partsOf(before.last as string);
        expect(last.ms).toBeGreaterThan(Date.now() + ahead / 2);
        expect(positions.map(partsOf)).toEqual([
          { ms: last.ms, seq: last.seq + 1 },
          { ms: last.ms, seq: last.seq + 2 },
        ]);
      });

      test('numbers without a hole when two instances append at once', async () => {
        const results = await Promise.all(
          Array.from({ length: 40 }, (_, n) =>
            appended((n % 2 === 0 ? store.log : store.other).append(topic, request([entry(n)]))),
          ),
        );
        const seqs = results.map(({ positions }) => partsOf(positions[0] as string).seq).sort((a, b) => a - b);
        expect(seqs.map((seq) => seq - (seqs[0] as number))).toEqual(Array.from({ length: 40 }, (_, n) => n));
        expect(results.filter(({ created }) => created)).toHaveLength(1);
      });

      test('keeps exactly the newest entries up to the cap', async () => {
        await publish(many(8));
        await publish(many(8, 9));
        const kept = await entriesNow();
        expect(kept.map((kept) => kept.tail)).toEqual(Array.from({ length: 10 }, (_, n) => tail(n + 7)));
      });

      test('keeps the cap when one batch is longer than it', async () => {
        const { positions } = await publish(many(15));
        expect(positions).toHaveLength(15);
        expect((await entriesNow()).map((kept) => kept.position)).toEqual(positions.slice(5));
      });

      test('says once that it made the topic', async () => {
        expect((await publish([entry(1)])).created).toBe(true);
        expect((await publish([entry(2)])).created).toBe(false);
      });

      test('takes the state with the entries, and leaves it where none is given', async () => {
        await publish([entry(1)], { state: '{"n":1}' });
        await publish([entry(2)]);
        expect((await log.snapshot(topic, look)).state).toBe('{"n":1}');
        await publish([entry(3)], { state: 'null' });
        expect((await log.snapshot(topic, look)).state).toBe('null');
      });

      test('goes on from the position a reader was given of a topic that was not there', async () => {
        const read = await log.snapshot(topic, { ...look, touch: true });
        expect(read.made).toBe(false);
        const { positions, created } = await publish([entry(1)]);
        expect(created).toBe(true);
        const continued = await log.read(topic, read.last, page);
        expect(continued).toMatchObject({ proven: true, last: positions[0] as string, made: true });
      });
    });

    describe('append() with idempotency keys', () => {
      test('appends a repeated key never again, and gives its position', async () => {
        const first = await publish([entry('first', 'k')]);
        await publish([entry('between')]);
        const again = await publish([entry('again', 'k')]);
        expect(again.duplicates).toEqual([true]);
        expect(again.positions).toEqual(first.positions);
        expect((await entriesNow()).map((kept) => kept.tail)).toEqual([tail('first'), tail('between')]);
      });

      test('gives the log’s end with a repeat, not the repeated position', async () => {
        await publish([entry('first', 'k')]);
        const { last } = await publish([entry('between')]);
        expect((await publish([entry('again', 'k')])).last).toBe(last);
      });

      test('appends a key that stands twice in one batch once', async () => {
        const { positions, duplicates } = await publish([entry(1, 'k'), entry(2), entry(3, 'k')]);
        expect(duplicates).toEqual([false, false, true]);
        expect(positions[2]).toBe(positions[0] as string);
        expect((await entriesNow()).map((kept) => kept.tail)).toEqual([tail(1), tail(2)]);
      });

      test('appends what is new of a batch that is partly known', async () => {
        const first = await publish([entry(1, 'a'), entry(2, 'b')]);
        const second = await publish([entry(1, 'a'), entry(3, 'c'), entry(2, 'b'), entry(4)]);
        expect(second.duplicates).toEqual([true, false, true, false]);
        expect([second.positions[0], second.positions[2]]).toEqual([...first.positions]);
        expect((await entriesNow()).map((kept) => kept.tail)).toEqual([1, 2, 3, 4].map(tail));
      });

      test('a repeat changes neither state nor owner and tells nobody', async () => {
        await publish([entry(1, 'k')], { state: '{"n":1}' });
        const heard: LiveMessage[] = [];
        await log.listen(topic, (message) => heard.push(message));
        await publish([entry(1, 'k')], { state: '{"n":2}', owner: 'eve' });
        await store.settle();
        expect(await log.snapshot(topic, look)).toMatchObject({ state: '{"n":1}', owner: null });
        expect(heard).toEqual([]);
      });

      test('the repeat of the event that closed the topic is a duplicate, not a refusal', async () => {
        const closing = request([entry('done', 'k')], { mode: 'publish-close' });
        const first = await appended(log.append(topic, closing));
        const again = await appended(log.append(topic, closing));
        expect(again).toEqual({ ...first, created: false, duplicates: [true] });
        expect((await log.append(topic, request([entry('late', 'other')]))).outcome).toBe('closed');
      });

      test('one key appends once when two instances use it at once', async () => {
        const results = await Promise.all(
          Array.from({ length: 30 }, (_, n) =>
            appended((n % 2 === 0 ? store.log : store.other).append(topic, request([entry(n, 'k')]))),
          ),
        );
        expect(results.filter(({ duplicates }) => !duplicates[0])).toHaveLength(1);
        expect(new Set(results.map(({ positions }) => positions[0])).size).toBe(1);
        expect(await entriesNow()).toHaveLength(1);
      });

      test('remembers a key after its entry has been cut off', async () => {
        const { positions } = await publish([entry('first', 'k')]);
        await publish(many(12));
        expect(await publish([entry('first', 'k')])).toMatchObject({ positions, duplicates: [true] });
      });

      test('remembers so many keys of a topic, and forgets the oldest', async () => {
        for (let n = 0; n < 30; n += 1) await publish([entry(n, `k${n}`)]);
        expect((await publish([entry('again', 'k29')])).duplicates).toEqual([true]);
        expect((await publish([entry('again', 'k10')])).duplicates).toEqual([true]);
        expect((await publish([entry('again', 'k9')])).duplicates).toEqual([false]);
      });

      test('remembers a key for as long as the log lives after it', async () => {
        await publish([entry(1, 'old')]);
        await store.pass(suiteLimits.topicTtlMs - 1_000);
        await publish([entry(2, 'young')]);
        expect((await publish([entry(1, 'old')])).duplicates).toEqual([true]);
        await store.pass(2_000);
        // What is too old goes with an append.
        await publish([entry(3)]);
        expect((await publish([entry(1, 'old')])).duplicates).toEqual([false]);
        expect((await publish([entry(2, 'young')])).duplicates).toEqual([true]);
      });

      test('keys of one topic mean nothing to another', async () => {
        await publish([entry(1, 'k')]);
        const { duplicates } = await appended(log.append(`${topic}.other`, request([entry(1, 'k')])));
        expect(duplicates).toEqual([false]);
      });
    });

    describe('ownership', () => {
      test('the first owner that is named stays', async () => {
        await publish([entry(1)], { owner: 'ann' });
        expect((await log.head(topic)).owner).toBe('ann');
        expect((await log.append(topic, request([entry(2)], { owner: 'ben' }))).outcome).toBe('owned');
        expect(await entriesNow()).toHaveLength(1);
        await publish([entry(3)], { owner: 'ann' });
        await publish([entry(4)]);
        expect((await log.head(topic)).owner).toBe('ann');
      });

      test('a topic without an owner takes the first that is named later', async () => {
        await publish([entry(1)]);
        expect((await log.head(topic)).owner).toBeNull();
        await publish([entry(2)], { owner: 'ben' });
        expect((await log.head(topic)).owner).toBe('ben');
      });

      test('any text can be an owner', async () => {
        const owner = 'an "owner"/\\\n=@! ünï 🦉';
        const heard: LiveMessage[] = [];
        await log.listen(topic, (message) => heard.push(message));
        await publish([entry(1)], { owner });
        await store.settle();
        expect((await log.head(topic)).owner).toBe(owner);
        expect(heard).toMatchObject([{ owner }]);
      });
    });

    describe('create', () => {
      test('makes a topic with owner and state and no event', async () => {
        const made = await publish([], { mode: 'create', owner: 'ann', state: '{"n":1}' });
        expect(made).toMatchObject({ created: true, positions: [] });
        const snapshot = await log.snapshot(topic, look);
        expect(snapshot).toMatchObject({ last: made.last, made: true, owner: 'ann', state: '{"n":1}', entries: [] });
      });

      test('does nothing to a topic that is there, whoever asks', async () => {
        const made = await publish([], { mode: 'create', owner: 'ann', state: '{"n":1}' });
        const again = await publish([], { mode: 'create', owner: 'ben', state: '{"n":2}' });
        expect(again).toEqual({ ...made, created: false });
        expect(await log.snapshot(topic, look)).toMatchObject({ owner: 'ann', state: '{"n":1}' });
      });

      test('does nothing to a topic that is closed', async () => {
        await publish([entry(1)], { mode: 'publish-close' });
        expect(await publish([], { mode: 'create', owner: 'ben' })).toMatchObject({ created: false });
        expect(await log.head(topic)).toMatchObject({ closed: true, owner: null });
      });

      test('an event that comes first is proven to follow it', async () => {
        const { last } = await publish([], { mode: 'create' });
        const { positions } = await publish([entry(1)]);
        expect(await log.read(topic, last, page)).toMatchObject({
          proven: true,
          entries: [{ position: positions[0] as string }],
        });
      });
    });

    describe('close', () => {
      test('finds no topic where nobody made one, and makes none', async () => {
        expect((await log.append(topic, request([], { mode: 'close' }))).outcome).toBe('unknown');
        await log.snapshot(topic, { ...look, touch: true });
        expect((await log.append(topic, request([entry(1)], { mode: 'close' }))).outcome).toBe('unknown');
        expect((await log.head(topic)).made).toBe(false);
      });

      test('refuses what comes after it', async () => {
        await publish([entry(1)]);
        await publish([entry(2)], { mode: 'close' });
        for (const mode of ['publish', 'close', 'publish-close'] as const) {
          expect((await log.append(topic, request([entry(3)], { mode }))).outcome).toBe('closed');
        }
        expect(await entriesNow()).toHaveLength(2);
      });

      test('leaves state, history and proof for the grace', async () => {
        const { last } = await publish([entry(1)], { state: '{"n":1}', owner: 'ann' });
        await publish([entry(2)], { mode: 'close' });
        await store.pass(suiteLimits.topicCloseGraceMs - 1_000);
        expect(await log.snapshot(topic, look)).toMatchObject({
          closed: true,
          owner: 'ann',
          state: '{"n":1}',
          entries: [{}, {}],
        });
        expect(await log.read(topic, last, page)).toMatchObject({ proven: true, closed: true, entries: [{}] });
      });

      test('leaves nothing after the grace', async () => {
        await publish([entry(1, 'k')], { state: '{"n":1}', owner: 'ann' });
        await publish([entry(2, 'l')], { mode: 'publish-close' });
        expect(await store.leftovers(topic)).not.toEqual([]);
        await store.pass(suiteLimits.topicCloseGraceMs + 1);
        expect(await log.head(topic)).toEqual({ last: null, made: false, owner: null, closed: false });
        expect(await store.leftovers(topic)).toEqual([]);
      });

      test('a topic is its own again after the grace', async () => {
        await publish([entry(1)], { owner: 'ann' });
        await publish([entry(2)], { mode: 'publish-close' });
        await store.pass(suiteLimits.topicCloseGraceMs + 1);
        expect(await publish([entry(3)], { owner: 'ben' })).toMatchObject({ created: true });
        expect((await log.head(topic)).owner).toBe('ben');
      });
    });

    describe('delete()', () => {
      test('leaves nothing, and says whether there was anything', async () => {
        await publish([entry(1, 'k')], { state: '{"n":1}', owner: 'ann' });
        expect(await log.delete(topic)).toBe(true);
        expect(await store.leftovers(topic)).toEqual([]);
        expect(await log.delete(topic)).toBe(false);
      });

      test('removes what a reader alone had written down', async () => {
        await log.snapshot(topic, { ...look, touch: true });
        expect(await log.delete(topic)).toBe(false);
        expect(await store.leftovers(topic)).toEqual([]);
      });

      test('tells who listens', async () => {
        await publish([entry(1)]);
        const heard: LiveMessage[] = [];
        await log.listen(topic, (message) => heard.push(message));
        await log.delete(topic);
        await store.settle();
        expect(heard).toEqual([{ kind: 'deleted' }]);
      });

      test('what is written after it is another log', async () => {
        const { last } = await publish(many(3));
        await log.delete(topic);
        await store.pass(10);
        await publish(many(3));
        expect(await log.read(topic, last, page)).toMatchObject({ proven: false });
      });
    });

    describe('read() proves a position', () => {
      test('by its being the log’s end', async () => {
        const { last } = await publish(many(2), { owner: 'ann' });
        const head = { last, made: true, owner: 'ann', closed: false };
        expect(await log.read(topic, last, page)).toEqual({ ...head, proven: true, entries: [] });
      });

      test('when one event was missed', async () => {
        const position = await missed(1);
        expect(await log.read(topic, position, page)).toMatchObject({ proven: true, entries: [{ tail: tail(0) }] });
      });

      test('when as many were missed as the log keeps', async () => {
        const position = await missed(10);
        const continued = await log.read(topic, position, page);
        if (!continued.proven) throw new Error('Wanted proof');
        expect(continued.entries.map((entry) => entry.tail)).toEqual(Array.from({ length: 10 }, (_, n) => tail(n)));
      });

      test('not when one more was missed than the log keeps: it has expired', async () => {
        const position = await missed(11);
        expect(await log.read(topic, position, page)).toEqual({ proven: false, reason: 'expired' });
      });

      test('not when it was never in the log', async () => {
        const { positions } = await publish(many(3));
        const { ms, seq } = partsOf(positions[1] as string);
        for (const never of [`${ms - 1}-${seq}`, `${ms + 1}-${seq}`, `0${ms}-${seq}`, '0-0']) {
          expect((await log.read(topic, never, page)).proven).toBe(false);
        }
      });

      test('not when it is ahead of the log', async () => {
        const { last } = await publish(many(3));
        const { ms, seq } = partsOf(last);
        for (const ahead of [`${ms}-${seq + 1}`, `${ms + 5}-${seq + 1}`, '9999999999999999-9999999999999999']) {
          expect(await log.read(topic, ahead, page)).toEqual({ proven: false, reason: 'unknown' });
        }
      });

      test('not in a log that was emptied', async () => {
        const { last } = await publish(many(3));
        await store.empty();
        expect(await log.read(topic, last, page)).toEqual({ proven: false, reason: 'unknown' });
      });

      test('not in a log that was emptied and refilled to the same number', async () => {
        const { last } = await publish(many(3));
        await store.empty();
        await store.pass(10);
        const refilled = await publish(many(3));
        expect(partsOf(refilled.last).seq).toBe(partsOf(last).seq);
        expect((await log.read(topic, last, page)).proven).toBe(false);
        await publish(many(3));
        expect((await log.read(topic, last, page)).proven).toBe(false);
      });

      test('when the entries have expired and nothing was missed', async () => {
        const { last } = await publish(many(3));
        await store.pass(suiteLimits.topicTtlMs + 1);
        expect(await entriesNow()).toEqual([]);
        expect(await log.read(topic, last, page)).toMatchObject({ proven: true, last, entries: [] });
      });

      test('not when entries have expired that were missed', async () => {
        const { positions } = await publish(many(3));
        await store.pass(suiteLimits.topicTtlMs + 1);
        const expired = { proven: false, reason: 'expired' } as const;
        expect(await log.read(topic, positions[0] as string, page)).toEqual(expired);
        await publish([entry('after')]);
        expect(await log.read(topic, positions[0] as string, page)).toEqual(expired);
        expect(await log.read(topic, positions[2] as string, page)).toMatchObject({ proven: true, entries: [{}] });
      });

      test('only while the end of the topic is remembered', async () => {
        const { last } = await publish(many(3), { owner: 'ann' });
        await store.pass(suiteLimits.topicTtlMs * 30 + 1);
        expect((await log.read(topic, last, page)).proven).toBe(false);
        expect(await store.leftovers(topic)).toEqual([]);
      });

      test('of a topic nobody has made, for as long as its readers ask', async () => {
        const { last } = await log.snapshot(topic, { ...look, touch: true });
        const asks = [
          () => log.read(topic, last, page),
          () => log.head(topic),
          () => log.snapshot(topic, { ...look, touch: true }),
        ];
        for (const ask of asks) {
          await store.pass(suiteLimits.readerTtlMs - 1_000);
          await ask();
        }
        expect(await log.read(topic, last, page)).toMatchObject({ proven: true, made: false });
        await store.pass(suiteLimits.readerTtlMs + 1);
        expect((await log.read(topic, last, page)).proven).toBe(false);
        expect(await store.leftovers(topic)).toEqual([]);
      });
    });

    describe('read() gives a page', () => {
      test('of so many entries', async () => {
        const position = await missed(9);
        const first = await log.read(topic, position, { maxEvents: 4, maxBytes: 1_000_000 });
        if (!first.proven) throw new Error('Wanted proof');
        expect(first.entries.map((entry) => entry.tail)).toEqual([0, 1, 2, 3].map(tail));
        expect(isOlder(first.entries.at(-1)?.position as string, first.last)).toBe(true);
      });

      test('of so many bytes, but always one entry', async () => {
        const { last } = await publish([entry('seen')]);
        await publish([entry('x'.repeat(500)), entry('y'.repeat(500)), entry('ä'.repeat(500))]);
        const pageOf = async (maxBytes: number) => {
          const continued = await log.read(topic, last, { maxEvents: 100, maxBytes });
          return continued.proven ? continued.entries.length : -1;
        };
        expect(await pageOf(1)).toBe(1);
        expect(await pageOf(1_060)).toBe(2);
        // Bytes, not letters: the last has a thousand.
        expect(await pageOf(1_600)).toBe(2);
        expect(await pageOf(2_200)).toBe(3);
      });
    });

    describe('snapshot()', () => {
      test('gives the newest entries, oldest first, bounded in number and in bytes', async () => {
        await publish([entry('x'.repeat(500)), entry('y'.repeat(500)), entry('z'.repeat(500))]);
        const lengthOf = async (maxEvents: number, maxBytes: number) =>
          (await log.snapshot(topic, { maxEvents, maxBytes, touch: false })).entries.map((entry) => entry.tail.at(-2));
        expect(await lengthOf(2, 10_000)).toEqual(['y', 'z']);
        expect(await lengthOf(10, 10_000)).toEqual(['x', 'y', 'z']);
        expect(await lengthOf(10, 1_100)).toEqual(['y', 'z']);
        expect(await lengthOf(10, 100)).toEqual([]);
        expect(await lengthOf(0, 10_000)).toEqual([]);
      });

      test('writes nothing down unless it is told to', async () => {
        expect(await log.snapshot(topic, look)).toEqual({
          last: '0-0',
          made: false,
          owner: null,
          closed: false,
          state: null,
          entries: [],
        });
        expect(await store.leftovers(topic)).toEqual([]);
      });

      test('gives all readers of an unmade topic one position', async () => {
        const [one, other] = await Promise.all([
          store.log.snapshot(topic, { ...look, touch: true }),
          store.other.snapshot(topic, { ...look, touch: true }),
        ]);
        expect(one.last).toBe(other.last);
        expect(one.last).not.toBe('0-0');
      });
    });

    describe('range()', () => {
      const all = { after: undefined, before: undefined, limit: 100, reverse: false, maxBytes: 1_000_000 };
      const tails = async (more: Partial<RangeRequest & { maxBytes: number }>) => {
        const range = await log.range(topic, { ...all, ...more });
        return { tails: range.entries.map((entry) => entry.tail), complete: range.complete };
      };

      test('gives what lies between two positions, without them, in either direction', async () => {
        const { positions } = await publish(many(6), { owner: 'ann' });
        const [after, before] = [positions[0] as string, positions[4] as string];
        expect(await tails({ after, before })).toEqual({ tails: [2, 3, 4].map(tail), complete: true });
        expect(await tails({ after, before, reverse: true })).toEqual({ tails: [4, 3, 2].map(tail), complete: true });
        expect(await tails({ before: after })).toEqual({ tails: [], complete: true });
        expect(await log.range(topic, all)).toMatchObject({ last: positions[5] as string, made: true, owner: 'ann' });
      });

      test('says whether more lies beyond, also where the page is exactly full', async () => {
        const { positions } = await publish(many(6));
        expect(await tails({ limit: 6 })).toMatchObject({ complete: true });
        expect(await tails({ limit: 5 })).toEqual({ tails: [1, 2, 3, 4, 5].map(tail), complete: false });
        expect(await tails({ limit: 5, reverse: true })).toEqual({ tails: [6, 5, 4, 3, 2].map(tail), complete: false });
        expect(await tails({ after: positions[4] as string, limit: 1 })).toMatchObject({ complete: true });
      });

      test('is bounded in bytes, but always gives one entry', async () => {
        await publish([entry('x'.repeat(500)), entry('y'.repeat(500))]);
        expect((await tails({ maxBytes: 10 })).tails).toHaveLength(1);
        expect(await tails({ maxBytes: 600 })).toMatchObject({ complete: false });
        expect((await tails({ maxBytes: 1_100 })).tails).toHaveLength(2);
      });

      test('takes every position a client may send', async () => {
        await publish(many(2));
        expect(await tails({ before: '0-0' })).toEqual({ tails: [], complete: true });
        expect(await tails({ before: '0000-00', reverse: true })).toEqual({ tails: [], complete: true });
        expect((await tails({ after: '0-0' })).tails).toHaveLength(2);
        expect((await tails({ after: '9999999999999999-9999999999999999' })).tails).toEqual([]);
        expect((await tails({ before: '9999999999999999-9999999999999999' })).tails).toHaveLength(2);
      });

      test('of a topic that is not there is empty', async () => {
        expect(await log.range(topic, all)).toEqual({
          last: null,
          made: false,
          owner: null,
          closed: false,
          entries: [],
          complete: true,
        });
      });
    });

    describe('listen()', () => {
      test('hears what a read gives, in order, from both instances', async () => {
        const heard: LiveMessage[] = [];
        const { last } = await publish([entry('seen')]);
        await log.listen(topic, (message) => heard.push(message));
        await publish(many(2));
        await appended(store.other.append(topic, request([entry(3)], { state: '{"n":1}' })));
        await appended(store.other.append(topic, request([], { mode: 'close' })));
        await store.settle();
        const continued = await log.read(topic, last, page);
        if (!continued.proven) throw new Error('Wanted proof');
        const [one, two, three] = continued.entries.map((entry) => entry);
        const nothingNew = { kind: 'appended', state: undefined, owner: undefined, closed: false } as const;
        expect(heard).toEqual([
          { ...nothingNew, before: last, entries: [one as never, two as never] },
          { ...nothingNew, before: two?.position as string, entries: [three as never], state: '{"n":1}' },
          { ...nothingNew, before: three?.position as string, entries: [], closed: true },
        ]);
      });

      test('hears who owns the topic when it is made, and when it gets its owner', async () => {
        const heard: unknown[] = [];
        await log.listen(topic, (message) => heard.push(message.kind === 'appended' ? message.owner : message.kind));
        await publish([], { mode: 'create' });
        await publish([entry(1)]);
        await publish([entry(2)], { owner: 'ann' });
        await publish([entry(3)], { owner: 'ann' });
        await log.delete(topic);
        await publish([entry(4)], { owner: 'ben' });
        await store.settle();
        expect(heard).toEqual([null, undefined, 'ann', undefined, 'deleted', 'ben']);
      });

      test('hears nothing after unlisten(), and other listeners hear on', async () => {
        const [gone, there] = [[] as LiveMessage[], [] as LiveMessage[]];
        const leaving = (message: LiveMessage) => void gone.push(message);
        await log.listen(topic, leaving);
        await log.listen(topic, (message) => there.push(message));
        await publish([entry(1)]);
        await store.settle();
        log.unlisten(topic, leaving);
        await publish([entry(2)]);
        await store.settle();
        expect([gone.length, there.length]).toEqual([1, 2]);
      });

      test('one listener may hear two topics, and leave one', async () => {
        const heard: string[] = [];
        const listener = (message: LiveMessage) => {
          if (message.kind === 'appended') heard.push(...message.entries.map((entry) => entry.tail));
        };
        const second = `${topic}.second`;
        await log.listen(topic, listener);
        await log.listen(second, listener);
        log.unlisten(topic, listener);
        await publish([entry('first')]);
        await appended(log.append(second, request([entry('second')])));
        await store.settle();
        expect(heard).toEqual([tail('second')]);
      });

      test('hears again after leaving and coming back, however quickly', async () => {
        for (let round = 0; round < 20; round += 1) {
          const heard: string[] = [];
          const listener = (message: LiveMessage) => {
            if (message.kind === 'appended') heard.push(...message.entries.map((entry) => entry.tail));
          };
          // Left before it was confirmed, at once after, and while the leaving is under way.
          const given = log.listen(topic, listener);
          if (round % 2 === 0) await given;
          log.unlisten(topic, listener);
          if (round % 3 === 0) await given;
          if (round % 5 === 0) await log.head(topic);
          await log.listen(topic, listener);
          await publish([entry(round)]);
          await store.settle();
          expect(heard).toEqual([tail(round)]);
          log.unlisten(topic, listener);
        }
      });
    });
  });
}
