import {
  type AppendResult,
  defaultMaxIdempotencyKeys,
  defaultReaderTtlMs,
  type Entry,
  type Head,
  type LiveListener,
  type LiveMessage,
  type LogLimits,
  metaTtlFactor,
  type PageLimit,
  type TopicLog,
} from './log.ts';
import { isOlder, partsOf } from './position.ts';

interface StoredEntry extends Entry {
  readonly before: string;
}

interface StoredTopic {
  last: string;
  made: boolean;
  owner: string | null;
  closed: boolean;
  state: string | null;
  entries: StoredEntry[];
  readonly idempotency: Map<string, { readonly position: string; readonly at: number }>;
  /** When log and state go. */
  logExpiresAt: number;
  /** When the rest goes. */
  expiresAt: number;
}

export interface MemoryLogOptions extends LogLimits {
  readonly now?: () => number;
  /** Topics kept; past that the one untouched for longest goes, and its readers are told. @default 100000 */
  readonly maxTopics?: number;
  /** How often topics whose time is over are removed. @default 1000 */
  readonly sweepIntervalMs?: number;
}

export interface MemoryLog extends TopicLog {
  /** Topics held. */
  readonly size: number;
  /** Tells a topic's listeners something that is no entry: who comes and goes. */
  notify(topic: string, message: LiveMessage): void;
  /** Loses everything, as a Redis without persistence does; who listens is not told. */
  clear(): void;
  /** Takes a copy of everything; what it gives puts it back, as a backup or a lagging replica would, and tells nobody. */
  copy(): () => void;
  close(): void;
}

/** The logs of all topics in this process: the embedded service, and the twin the Redis log is compared with. */
export function createMemoryLog(options: MemoryLogOptions): MemoryLog {
  const now = options.now ?? Date.now;
  const maxKeys = options.maxIdempotencyKeys ?? defaultMaxIdempotencyKeys;
  const readerTtlMs = options.readerTtlMs ?? defaultReaderTtlMs;
  const maxTopics = options.maxTopics ?? 100_000;
  /** In the order they were last written to. */
  const topics = new Map<string, StoredTopic>();
  const listeners = new Map<string, Set<LiveListener>>();

  const find = (topic: string): StoredTopic | undefined => {
    const stored = topics.get(topic);
    if (stored === undefined) return undefined;
    const at = now();
    if (stored.expiresAt <= at) {
      topics.delete(topic);
      return undefined;
    }
    if (stored.logExpiresAt <= at) {
      stored.entries = [];
      stored.state = null;
      stored.idempotency.clear();
    }
    return stored;
  };

  /** As `find`, for one who reads on: a position that only readers hold lives while they ask. */
  const keep = (topic: string): StoredTopic | undefined => {
    const stored = find(topic);
    if (stored && !stored.made) stored.expiresAt = now() + readerTtlMs;
    return stored;
  };

  const write = (topic: string, stored: StoredTopic): void => {
    topics.delete(topic);
    topics.set(topic, stored);
    if (topics.size <= maxTopics) return;
    for (const oldest of topics.keys()) {
      topics.delete(oldest);
      return;
    }
  };

  const make = (topic: string): StoredTopic => {
    const at = now();
    const stored: StoredTopic = {
      last: `${at}-0`,
      made: false,
      owner: null,
      closed: false,
      state: null,
      entries: [],
      idempotency: new Map(),
      logExpiresAt: at + options.topicTtlMs,
      expiresAt: at + readerTtlMs,
    };
    write(topic, stored);
    return stored;
  };

  const notify = (topic: string, message: LiveMessage): void => {
    for (const listener of listeners.get(topic) ?? []) listener(message);
  };

  const headOf = (stored: StoredTopic | undefined): Head => ({
    last: stored?.last ?? null,
    made: stored?.made ?? false,
    owner: stored?.owner ?? null,
    closed: stored?.closed ?? false,
  });

  const sweep = setInterval(() => {
    for (const topic of topics.keys()) find(topic);
  }, options.sweepIntervalMs ?? 1_000);
  sweep.unref?.();

  return {
    notify,
    get size() {
      return topics.size;
    },

    async append(topic, request): Promise<AppendResult> {
      const at = now();
      const known = find(topic);
      const positions: string[] = [];
      const duplicates: boolean[] = [];
      const used = (key: string | undefined) => (key === undefined ? undefined : known?.idempotency.get(key)?.position);
      if (request.entries.length > 0 && known && request.entries.every((entry) => used(entry.idempotencyKey))) {
        for (const entry of request.entries) {
          positions.push(used(entry.idempotencyKey) as string);
          duplicates.push(true);
        }
        return { outcome: 'appended', last: known.last, created: false, positions, duplicates };
      }
      if (request.mode === 'create' && known?.made) {
        return { outcome: 'appended', last: known.last, created: false, positions, duplicates };
      }
      if (known?.closed) return { outcome: 'closed' };
      if (request.mode === 'close' && !known?.made) return { outcome: 'unknown' };
      if (request.owner !== undefined && known?.owner && known.owner !== request.owner) return { outcome: 'owned' };

      const stored = known ?? make(topic);
      const created = !stored.made;
      const named = request.owner !== undefined && stored.owner === null;
      const before = stored.last;
      const end = partsOf(before);
      const ms = Math.max(at, end.ms);
      let seq = end.seq;
      const appended: StoredEntry[] = [];
      for (const { tail, idempotencyKey } of request.entries) {
        const earlier = idempotencyKey === undefined ? undefined : stored.idempotency.get(idempotencyKey);
        if (earlier) {
          positions.push(earlier.position);
          duplicates.push(true);
          continue;
        }
        seq += 1;
        const entry = { position: `${ms}-${seq}`, before: stored.last, tail };
        appended.push(entry);
        stored.last = entry.position;
        positions.push(entry.position);
        duplicates.push(false);
        if (idempotencyKey !== undefined) stored.idempotency.set(idempotencyKey, { position: entry.position, at });
      }
      stored.entries.push(...appended);
      if (stored.entries.length > options.topicMaxEvents) {
        stored.entries.splice(0, stored.entries.length - options.topicMaxEvents);
      }
      for (const [key, { at: usedAt }] of stored.idempotency) {
        if (stored.idempotency.size <= maxKeys && usedAt > at - options.topicTtlMs) break;
        stored.idempotency.delete(key);
      }
      stored.made = true;
      stored.owner ??= request.owner ?? null;
      write(topic, stored);
      if (request.state !== undefined) stored.state = request.state;
      const closing = request.mode === 'close' || request.mode === 'publish-close';
      stored.closed = closing;
      stored.logExpiresAt = at + (closing ? options.topicCloseGraceMs : options.topicTtlMs);
      stored.expiresAt = closing ? stored.logExpiresAt : at + options.topicTtlMs * metaTtlFactor;
      const owner = created || named ? stored.owner : undefined;
      if (appended.length > 0 || request.state !== undefined || closing || owner !== undefined) {
        notify(topic, { kind: 'appended', before, entries: appended, state: request.state, owner, closed: closing });
      }
      return { outcome: 'appended', last: stored.last, created, positions, duplicates };
    },

    async read(topic, after, page) {
      const stored = keep(topic);
      const start = stored?.entries.findIndex((entry) => entry.before === after) ?? -1;
      if (stored === undefined || (start === -1 && stored.last !== after)) {
        const reachesBackTo = stored?.entries[0]?.position ?? stored?.last;
        return { proven: false, reason: reachesBackTo && isOlder(after, reachesBackTo) ? 'expired' : 'unknown' };
      }
      const entries = start === -1 ? [] : pageOf(stored.entries.slice(start), page);
      return { ...headOf(stored), proven: true, last: stored.last, entries };
    },

    async snapshot(topic, { maxEvents, maxBytes, touch }) {
      const stored = touch ? (keep(topic) ?? make(topic)) : find(topic);
      const entries: Entry[] = [];
      let bytes = 0;
      for (let at = (stored?.entries.length ?? 0) - 1; at >= 0 && entries.length < maxEvents; at -= 1) {
        const entry = stored?.entries[at] as Entry;
        bytes += Buffer.byteLength(entry.tail);
        if (bytes > maxBytes) break;
        entries.push(entry);
      }
      const head = headOf(stored);
      return { ...head, last: head.last ?? '0-0', state: stored?.state ?? null, entries: entries.reverse() };
    },

    async range(topic, { after, before, limit, reverse, maxBytes }) {
      const stored = find(topic);
      const between = (stored?.entries ?? []).filter(
        ({ position }) =>
          (after === undefined || isOlder(after, position)) && (before === undefined || isOlder(position, before)),
      );
      const ordered = reverse ? between.reverse() : between;
      const entries = pageOf(ordered, { maxEvents: limit, maxBytes });
      return { ...headOf(stored), entries, complete: entries.length === ordered.length };
    },

    async head(topic) {
      return headOf(keep(topic));
    },

    async delete(topic) {
      const made = find(topic)?.made ?? false;
      topics.delete(topic);
      notify(topic, { kind: 'deleted' });
      return made;
    },

    async listen(topic, listener) {
      const set = listeners.get(topic);
      if (set) set.add(listener);
      else listeners.set(topic, new Set([listener]));
    },

    unlisten(topic, listener) {
      const set = listeners.get(topic);
      if (set?.delete(listener) && set.size === 0) listeners.delete(topic);
    },

    async listenAgain() {},

    clear: () => topics.clear(),

    copy() {
      const copies = [...topics].map(([topic, stored]) => [topic, copyOf(stored)] as const);
      return () => {
        topics.clear();
        for (const [topic, stored] of copies) topics.set(topic, copyOf(stored));
      };
    },

    close() {
      clearInterval(sweep);
      topics.clear();
      listeners.clear();
    },
  };
}

const copyOf = (stored: StoredTopic): StoredTopic => ({
  ...stored,
  entries: [...stored.entries],
  idempotency: new Map(stored.idempotency),
});

function pageOf(entries: readonly StoredEntry[], { maxEvents, maxBytes }: PageLimit): Entry[] {
  const page: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    bytes += Buffer.byteLength(entry.tail);
    if (page.length === maxEvents || (page.length > 0 && bytes > maxBytes)) break;
    page.push(entry);
  }
  return page;
}
