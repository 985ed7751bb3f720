import type { LogReader } from '../logs/log-reader.ts';
import type { Reading } from './reading.ts';

/** What all readers together saw and were told. */
export interface Totals {
  readings: number;
  deliveries: number;
  local: number;
  resumed: number;
  replayed: number;
  degraded: number;
  restored: number;
  closed: number;
  resets: { expired: number; unknown: number; limit: number };
  /** Resets that told of a loss where nothing was lost. */
  needlessResets: number;
}

export interface Tally {
  readonly totals: Readonly<Totals>;
  /** Compares a reading with the log, adds it up, and lets go of it. */
  settle(reading: Reading): void;
}

export function createTally(log: LogReader, keptEvents: number): Tally {
  const totals: Totals = {
    readings: 0,
    deliveries: 0,
    local: 0,
    resumed: 0,
    replayed: 0,
    degraded: 0,
    restored: 0,
    closed: 0,
    resets: { expired: 0, unknown: 0, limit: 0 },
    needlessResets: 0,
  };
  return {
    totals,
    settle(reading) {
      const { needlessResets } = reading.settle(log.ledger(reading.topic), { keptEvents });
      totals.readings += 1;
      totals.deliveries += reading.delivered;
      totals.local += reading.local;
      totals.resumed += reading.resumed;
      totals.replayed += reading.replayed;
      totals.degraded += reading.degraded;
      totals.restored += reading.restored;
      totals.closed += reading.ended ? 1 : 0;
      totals.resets.expired += reading.resets.expired;
      totals.resets.unknown += reading.resets.unknown;
      totals.resets.limit += reading.resets.limit;
      totals.needlessResets += needlessResets;
    },
  };
}
