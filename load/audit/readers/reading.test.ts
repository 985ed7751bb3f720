import { expect, test } from 'bun:test';
import type { TopicItem } from '@usher/contracts';
import { createFindings, type FindingKind } from '../finding.ts';
import { Ledger } from '../logs/ledger.ts';
import { Reading } from './reading.ts';

/** `stateful`: the position whose event brought a state. */
const stand = (stateful?: string) => {
  const findings = createFindings(() => 0);
  const reading = new Reading('public:a', 'reader', { findings });
  return {
    reading,
    found: () =>
      Object.fromEntries(Object.entries(findings.counts).filter(([, count]) => count > 0)) as Partial<
        Record<FindingKind, number>
      >,
    event: (position: string, key = `k${position}`) =>
      reading.take(position, { type: 'event', event: { position, at: 1, name: 'a', data: { k: key } } }),
    snapshot: (position: string) =>
      reading.take(`${position}~a`, { type: 'snapshot', state: null, events: [] } satisfies TopicItem),
    reset: (position: string) =>
      reading.take(`${position}~b`, { type: 'reset', reason: 'unknown', state: null, events: [] } satisfies TopicItem),
    resumed: (position: string) => reading.take(`${position}~c`, { type: 'resumed', replayed: 0 }),
    ledger(...positions: string[]): Ledger {
      const ledger = new Ledger('public:a');
      positions.reduce((before, position) => {
        ledger.add(position, before, { key: `k${position}`, hasState: position === stateful });
        return position;
      });
      return ledger;
    },
  };
};

test('events that follow each other are nothing to find', () => {
  const { reading, snapshot, event, resumed, found, ledger } = stand();
  reading.asked();
  snapshot('1-4');
  event('1-5');
  event('2-6');
  reading.asked();
  resumed('2-6');
  event('3-7');
  reading.settle(ledger('1-4', '1-5', '2-6', '3-7'), { keptEvents: 100 });
  expect(found()).toEqual({});
  expect(reading.delivered).toBe(3);
});

test('an event that never came is a gap', () => {
  const { snapshot, event, found } = stand();
  snapshot('1-4');
  event('1-5');
  event('1-7');
  event('1-8');
  expect(found()).toEqual({ gap: 1 });
});

test('an event that came twice is a double', () => {
  const { snapshot, event, found } = stand();
  snapshot('1-4');
  event('1-5');
  event('1-6');
  event('1-5');
  expect(found()).toEqual({ double: 1 });
});

test('an event that came late is a gap and a reorder', () => {
  const { snapshot, event, found } = stand();
  snapshot('1-4');
  event('1-5');
  event('1-7');
  event('1-6');
  event('1-8');
  expect(found()).toEqual({ gap: 1, reorder: 1 });
});

test('an event of another log under the next number is found when it is compared', () => {
  const { reading, snapshot, event, found, ledger } = stand();
  snapshot('1-4');
  event('1-5');
  event('9-6');
  expect(found()).toEqual({});
  const log = ledger('1-4', '1-5', '1-6');
  log.add('9-5', '1-4', { key: 'x', hasState: false });
  log.add('9-6', '9-5', { key: 'k9-6', hasState: false });
  reading.settle(log, { keptEvents: 100 });
  expect(found()).toEqual({ gap: 1 });
});

test('a log that begins anew without a word is a gap', () => {
  const { snapshot, event, found } = stand();
  snapshot('1-4');
  event('1-5');
  event('9-1');
  expect(found()).toEqual({ gap: 1 });
});

test('a gap that was told is none, and one told without need is counted', () => {
  const { reading, snapshot, event, reset, found, ledger } = stand();
  snapshot('1-4');
  event('1-5');
  reset('9-0');
  event('9-1');
  const lost = ledger('1-4', '1-5');
  lost.add('9-1', '9-0', { key: 'k9-1', hasState: false });
  expect(reading.settle(lost, { keptEvents: 100 }).needlessResets).toBe(0);
  expect(found()).toEqual({});

  const other = stand();
  other.snapshot('1-4');
  other.event('1-5');
  other.reset('1-6');
  const kept = other.ledger('1-4', '1-5', '1-6');
  expect(other.reading.settle(kept, { keptEvents: 100 }).needlessResets).toBe(1);
  expect(other.found()).toEqual({});
});

test('continuing at another position than the last is a gap', () => {
  const { reading, snapshot, event, resumed, found } = stand();
  reading.asked();
  snapshot('1-4');
  event('1-5');
  reading.asked();
  resumed('1-7');
  expect(found()).toEqual({ gap: 1 });
});

test('a subscription that says nothing first breaks the wire', () => {
  const { reading, event, snapshot, found } = stand();
  reading.asked();
  snapshot('1-4');
  reading.asked();
  event('1-5');
  expect(found()).toEqual({ protocol: 1 });
});

test('a state that is not of its position breaks the wire', () => {
  const { reading, ledger, found } = stand('1-5');
  reading.take('1-5~a', { type: 'snapshot', state: { k: 'k1-4' }, events: [] });
  reading.settle(ledger('1-3', '1-4', '1-5'), { keptEvents: 100 });
  expect(found()).toEqual({ protocol: 1 });
});
