import { RedisAwayError } from '../redis/connection.ts';
import type { TicketStore } from './store.ts';

export interface MemoryTicketStoreOptions {
  /** Most tickets held, in any state; past it `put` refuses. @default 100000 */
  readonly maxTickets?: number;
  /** Expired tickets are cleared out at most this often, in ms, by a `put`. @default 5000 */
  readonly sweepMs?: number;
  /** @default Date.now */
  readonly now?: () => number;
}

interface Held {
  state: 'issued' | 'consumed' | 'established';
  /** The record; once established, the attempt that won. */
  value: string;
  until: number;
}

/** Tickets of one process: always ready, and gone with it. */
export function createMemoryTicketStore(options: MemoryTicketStoreOptions = {}): TicketStore {
  const { maxTickets = 100_000, sweepMs = 5_000, now = Date.now } = options;
  const held = new Map<string, Held>();
  let sweptAt = now();

  const find = (hash: string): Held | undefined => {
    const found = held.get(hash);
    return found && found.until > now() ? found : undefined;
  };

  const sweep = (): void => {
    if (now() - sweptAt < sweepMs) return;
    sweptAt = now();
    for (const [hash, ticket] of held) if (ticket.until <= sweptAt) held.delete(hash);
  };

  return {
    ready: true,
    async put(hash, record, ttlMs) {
      sweep();
      if (held.size >= maxTickets) {
        throw new RedisAwayError(`The ticket store is full: ${maxTickets} tickets`, { ambiguous: false });
      }
      held.set(hash, { state: 'issued', value: record, until: now() + ttlMs });
    },
    async take(hash, mirrorTtlMs) {
      const found = find(hash);
      if (!found || found.state === 'established') return null;
      if (found.state === 'consumed') return { from: 'mirror', record: found.value };
      found.state = 'consumed';
      found.until = now() + mirrorTtlMs;
      return { from: 'ticket', record: found.value };
    },
    async claim(hash, attempt, tombstoneTtlMs) {
      const found = find(hash);
      if (found?.state === 'established') return found.value === attempt;
      held.set(hash, { state: 'established', value: attempt, until: now() + tombstoneTtlMs });
      return true;
    },
    onReady: () => () => {},
  };
}
