import type { Pass, PassState } from './pass.ts';
import type { TicketStore } from './store.ts';
import type { TicketLog } from './tickets.ts';

export interface OwedOptions {
  readonly store: TicketStore;
  readonly log: TicketLog;
  /** Most claims owed; past it a connection is refused rather than opened unclaimed. */
  readonly size: number;
  /** How long a claim stays owed, in ms: as long as any pass of its ticket could still be opened. */
  readonly keepMs: number;
  readonly tombstoneTtlMs: number;
  readonly now: () => number;
  readonly onLost: (pass: Pass) => void;
}

/** Claims of connections that were opened while the store was away. Until one is settled its ticket is spent here. */
export interface Owed {
  readonly size: number;
  has(hash: string): boolean;
  /** False when the bound is reached. */
  add(pass: Pass, state: PassState): boolean;
  /** Forgets claims that no longer matter, and tries the others if the store is there. */
  sweep(): void;
  clear(): void;
}

interface Debt {
  readonly pass: Pass;
  readonly attempt: string;
  readonly traceId: string;
  readonly until: number;
}

/** Claims on their way at once: a store that has just come back is not met with ten thousand. */
const atOnce = 32;

export function createOwed(options: OwedOptions): Owed {
  const { store, log, now } = options;
  const debts = new Map<string, Debt>();
  let flushing = false;

  /** False when the store has gone again. */
  const settle = async (hash: string, debt: Debt): Promise<boolean> => {
    let won: boolean;
    try {
      won = await store.claim(hash, debt.attempt, options.tombstoneTtlMs);
    } catch {
      return false;
    }
    debts.delete(hash);
    const about = { ticketId: debt.pass.ticketId, traceId: debt.traceId };
    if (won) {
      log.info(about, 'Ticket claimed after the fact');
    } else {
      log.warn(about, 'Ticket was opened on another instance as well while the store was away');
      report(debt.pass);
    }
    return true;
  };

  const report = (pass: Pass): void => {
    try {
      options.onLost(pass);
    } catch (error) {
      log.error({ err: error, ticketId: pass.ticketId }, 'A lost ticket claim could not be reported');
    }
  };

  const flush = async (): Promise<void> => {
    if (flushing) return;
    flushing = true;
    try {
      const waiting = [...debts];
      while (waiting.length > 0 && store.ready) {
        const settled = await Promise.all(waiting.splice(0, atOnce).map(([hash, debt]) => settle(hash, debt)));
        // Whoever calls next, the sweep or the store's return, begins again with what is left.
        if (settled.includes(false)) return;
      }
    } finally {
      flushing = false;
    }
  };

  const stop = store.onReady(() => void flush());

  return {
    get size() {
      return debts.size;
    },
    has: (hash) => debts.has(hash),
    add(pass, state) {
      if (debts.size >= options.size) return false;
      debts.set(state.hash, { pass, attempt: state.attempt, traceId: state.traceId, until: state.at + options.keepMs });
      return true;
    },
    sweep() {
      const at = now();
      for (const [hash, debt] of debts) if (debt.until <= at) debts.delete(hash);
      if (debts.size > 0 && store.ready) void flush();
    },
    clear() {
      stop();
      debts.clear();
    },
  };
}
