import type { TicketRecord } from './record.ts';

export interface ConsumedOptions {
  /** How long a record is kept, in ms; no longer than its mirror lives. */
  readonly ttlMs: number;
  /** Most records kept. */
  readonly size: number;
  readonly now: () => number;
}

/**
 * The records of tickets that this instance consumed itself, by hash: what it may answer a later pass from, and open one
 * connection on when the store has gone.
 *
 * At its bound the oldest goes: its ticket can still be passed by its mirror, so that a crowd costs the stragglers a
 * question to the store. Refusing the newest would refuse people who have just come.
 */
export interface Consumed {
  readonly size: number;
  get(hash: string): TicketRecord | undefined;
  /** Keeps a record that was consumed at `at`. */
  keep(hash: string, record: TicketRecord, at: number): void;
  drop(hash: string): void;
  /** Clears out what is over; gives how many records the bound pushed out since the last sweep. */
  sweep(): number;
  clear(): void;
}

export function createConsumed(options: ConsumedOptions): Consumed {
  const { ttlMs, size, now } = options;
  const entries = new Map<string, { readonly record: TicketRecord; readonly until: number }>();
  let evicted = 0;

  return {
    get size() {
      return entries.size;
    },
    get(hash) {
      const entry = entries.get(hash);
      return entry && entry.until > now() ? entry.record : undefined;
    },
    keep(hash, record, at) {
      entries.set(hash, { record, until: at + ttlMs });
      if (entries.size <= size) return;
      for (const oldest of entries.keys()) {
        entries.delete(oldest);
        evicted += 1;
        break;
      }
    },
    drop: (hash) => void entries.delete(hash),
    sweep() {
      const at = now();
      for (const [hash, entry] of entries) if (entry.until <= at) entries.delete(hash);
      const pushedOut = evicted;
      evicted = 0;
      return pushedOut;
    },
    clear: () => entries.clear(),
  };
}
