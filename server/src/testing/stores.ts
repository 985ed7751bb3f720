import type { Availability } from '../hub/hub.ts';
import { RedisAwayError } from '../redis/connection.ts';
import type { ServerStores } from '../server.ts';
import { createMemoryTicketStore } from '../tickets/memory.ts';
import type { TicketStore } from '../tickets/store.ts';
import type { LiveListener, LogLimits, TopicLog } from '../topics/log.ts';
import { createMemoryLog } from '../topics/memory.ts';

/** Stores in memory that can go away like a Redis, come back, and come back empty. */
export interface TestStores extends ServerStores {
  setAway(away: boolean): void;
  /** Forgets every log, as a Redis restarted without its data has. */
  loseLogs(): void;
  close(): void;
}

export function createTestStores(limits: LogLimits): TestStores {
  let away = false;
  let inner = createMemoryLog(limits);
  const ticketStore = createMemoryTicketStore();
  const heard = new Map<LiveListener, string>();
  const changed = new Set<() => void>();
  const readyAgain = new Set<() => void>();

  const reach = async <T>(call: () => Promise<T>): Promise<T> => {
    if (away) throw new RedisAwayError('Redis is away, as the test asked', { ambiguous: false });
    return call();
  };
  const log: TopicLog = {
    append: (...args) => reach(() => inner.append(...args)),
    read: (...args) => reach(() => inner.read(...args)),
    snapshot: (...args) => reach(() => inner.snapshot(...args)),
    range: (...args) => reach(() => inner.range(...args)),
    head: (...args) => reach(() => inner.head(...args)),
    delete: (...args) => reach(() => inner.delete(...args)),
    listen: (topic, listener) =>
      reach(() => {
        heard.set(listener, topic);
        return inner.listen(topic, listener);
      }),
    unlisten(topic, listener) {
      heard.delete(listener);
      inner.unlisten(topic, listener);
    },
    listenAgain: (topic) => reach(() => inner.listenAgain(topic)),
  };
  const tickets: TicketStore = {
    get ready() {
      return !away && ticketStore.ready;
    },
    put: (...args) => reach(() => ticketStore.put(...args)),
    take: (...args) => reach(() => ticketStore.take(...args)),
    claim: (...args) => reach(() => ticketStore.claim(...args)),
    onReady(listener) {
      readyAgain.add(listener);
      return () => void readyAgain.delete(listener);
    },
  };
  const availability: Availability = {
    get available() {
      return !away;
    },
    onChange(listener) {
      changed.add(listener);
      return () => void changed.delete(listener);
    },
  };

  return {
    log,
    tickets,
    availability,
    setAway(next) {
      if (away === next) return;
      away = next;
      for (const listener of [...changed]) listener();
      if (!away) for (const listener of [...readyAgain]) listener();
    },
    loseLogs() {
      inner.close();
      inner = createMemoryLog(limits);
      for (const [listener, topic] of heard) void inner.listen(topic, listener);
      // A hub proves every position anew whenever its log returns, and this one has been away for no time at all.
      if (!away) for (const listener of [...changed]) listener();
    },
    close() {
      inner.close();
    },
  };
}
