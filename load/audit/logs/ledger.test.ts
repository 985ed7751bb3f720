import { expect, test } from 'bun:test';
import { foldOf, foldOn } from './fold.ts';
import { Ledger, type Stretch } from './ledger.ts';

/** A log of one topic: `entries` is a list of `position key`. */
function ledgerOf(entries: readonly string[], from = '1-0'): Ledger {
  const ledger = new Ledger('public:a');
  write(ledger, from, entries);
  return ledger;
}

function write(ledger: Ledger, from: string, entries: readonly string[]): void {
  let before = from;
  for (const entry of entries) {
    const [position = '', key = ''] = entry.split(' ');
    ledger.add(position, before, { key, hasState: false });
    before = position;
  }
}

function stretch(from: string | null, entries: readonly string[]): Stretch {
  const parts = entries.map((entry) => entry.split(' ') as [string, string]);
  const fold = parts.reduce((sum, [position, key]) => foldOn(sum, foldOf(position, key)), 0);
  return { from, first: parts[0]?.[0] ?? '', last: parts.at(-1)?.[0] ?? '', count: parts.length, fold };
}

test('faultOf() accepts any part of a log, from its beginning too', () => {
  const ledger = ledgerOf(['1-1 a', '1-2 b', '2-3 c', '2-4 d']);
  expect(ledger.faultOf(stretch('1-0', ['1-1 a', '1-2 b', '2-3 c', '2-4 d']))).toBeNull();
  expect(ledger.faultOf(stretch('1-1', ['1-2 b', '2-3 c']))).toBeNull();
  expect(ledger.faultOf(stretch(null, ['2-4 d']))).toBeNull();
});

test.each([
  ['an event is missing', stretch('1-0', ['1-1 a', '2-3 c'])],
  ['an event is another', stretch('1-0', ['1-1 a', '1-2 x', '2-3 c'])],
  ['two have changed places', stretch('1-0', ['1-2 b', '1-1 a', '2-3 c'])],
  ['it is of no log', stretch('1-0', ['1-1 a', '9-2 b'])],
  ['it begins later than it says', stretch('1-0', ['1-2 b', '2-3 c'])],
])('faultOf() tells when %s', (_, wrong) => {
  expect(ledgerOf(['1-1 a', '1-2 b', '2-3 c', '2-4 d']).faultOf(wrong)).toBeString();
});

test('a log that was set back goes on as another branch, and what was lost is no part of it', () => {
  const ledger = ledgerOf(['1-1 a', '1-2 b', '1-3 c']);
  write(ledger, '1-1', ['5-2 x', '5-3 y']);
  expect(ledger.faultOf(stretch('1-0', ['1-1 a', '1-2 b', '1-3 c']))).toBeNull();
  expect(ledger.faultOf(stretch('1-0', ['1-1 a', '5-2 x', '5-3 y']))).toBeNull();
  expect(ledger.faultOf(stretch('1-0', ['1-1 a', '1-2 b', '5-3 y']))).toBeString();
  expect(ledger.size).toBe(5);
  expect(ledger.lost).toBe(2);
});

test('add() gives the entry whose key is repeated in one log, not in another', () => {
  const ledger = ledgerOf(['1-1 a', '1-2 b']);
  expect(ledger.add('1-3', '1-2', { key: 'b', hasState: false })?.position).toBe('1-2');
  // Set back behind the first of them: its publisher had to repeat it.
  expect(ledger.add('7-2', '1-1', { key: 'b', hasState: false })).toBeUndefined();
});
