import type { Principal } from '@usher/contracts';
import type { Logger } from 'pino';
import { RedisAwayError, type RedisConnection } from '../redis/connection.ts';
import { loadScript } from '../redis/script.ts';
import type { Selection } from './live.ts';
import { createTicker } from './ticker.ts';

const script = loadScript(new URL('./revocations.lua', import.meta.url));

/** A user, a session, or a session of a user whose right has ended. */
export interface Revocation extends Selection {
  /** When, in ms since 1970. */
  readonly at: number;
}

export interface RevocationsOptions {
  /** `null`: this process is alone. */
  readonly redis: RedisConnection | null;
  readonly log: Logger;
  /** Called with each revocation that this instance found in Redis, having missed its message. */
  readonly onFound: (revocation: Revocation) => void;
  /** How long a revocation is remembered, in ms; tokens MUST NOT live longer. @default 86400000 */
  readonly ttlMs?: number;
  /** Most revocations remembered; beyond them the oldest is forgotten. @default 100000 */
  readonly maxRevocations?: number;
  /** How often Redis is asked for what was missed, in ms. @default 5000 */
  readonly syncMs?: number;
  /** How long Redis may take, in ms. @default 500 */
  readonly timeoutMs?: number;
  /** @default Date.now */
  readonly now?: () => number;
}

/** What was revoked, mirrored in this process so that looking it up costs nothing. */
export interface Revocations {
  /**
   * Whether a right is over: its session was revoked, at any time, or its user at or after `issuedAt`, when the ticket or
   * token was issued, in ms since 1970.
   */
  isRevoked(principal: Pick<Principal, 'userId' | 'sessionId'>, issuedAt: number): boolean;
  /** Marks it here and in Redis; while Redis is away, in Redis when it is back. */
  revoke(selection: Selection): Promise<Revocation>;
  /** Takes over what another instance has revoked. */
  learn(revocation: Revocation): void;
  /** Whether the mirror holds what Redis held when it was last ready. */
  readonly loaded: boolean;
  readonly size: number;
  close(): Promise<void>;
}

/** Marks of one answer, or one write. */
const pageSize = 500;
/** How far behind the newest mark a read begins, in ms: more than clocks of a primary and its replica differ. */
const overlapMs = 60_000;

const nameOf = ({ userId, sessionId }: Selection): string =>
  `${JSON.stringify(userId ?? null)},${JSON.stringify(sessionId ?? null)}`;

export function createRevocations(options: RevocationsOptions): Revocations {
  const { redis, log, onFound, ttlMs = 86_400_000, maxRevocations = 100_000 } = options;
  const { syncMs = 5_000, timeoutMs = 500, now = Date.now } = options;
  const key = `${redis?.keyPrefix ?? ''}{control}:revocations`;
  // In the order in which they were learnt, so that the first is the one to go.
  const marks = new Map<string, number>();
  /** Marked here, and perhaps not yet in Redis. */
  const owed = new Map<string, number>();
  let newest = 0;
  let full = true;
  let overflowing = false;

  /** True when it was news. */
  const mark = (name: string, at: number): boolean => {
    if ((marks.get(name) ?? Number.NEGATIVE_INFINITY) >= at) return false;
    marks.delete(name);
    marks.set(name, at);
    for (const [oldest, oldestAt] of marks) {
      const over = marks.size > maxRevocations;
      if (!over && oldestAt + ttlMs > now()) break;
      if (over && !overflowing) log.error({ maxRevocations }, '[Revocations] too many: the oldest are forgotten');
      overflowing ||= over;
      marks.delete(oldest);
      owed.delete(oldest);
    }
    return true;
  };

  const marked = (name: string): number | undefined => {
    const at = marks.get(name);
    return at !== undefined && at + ttlMs > now() ? at : undefined;
  };

  const call = async (since: string, pairs: readonly string[]): Promise<[number, ...string[]]> => {
    const args = [String(ttlMs), String(maxRevocations), since, String(pageSize), ...pairs];
    return (await redis?.run(script, [key], args, { timeoutMs })) as [number, ...string[]];
  };

  /** Reads what came since the newest mark known, or everything; `seen` collects it. */
  const pull = async (seen: Set<string> | null): Promise<void> => {
    let since = seen ? 0 : Math.max(0, newest - overlapMs);
    for (;;) {
      const [, ...found] = await call(String(since), []);
      let last = since;
      for (let at = 0; at < found.length; at += 2) {
        const text = String(found[at]);
        const [userId, sessionId, revokedAt] = JSON.parse(text) as [string | null, string | null, number];
        seen?.add(text);
        last = Number(found[at + 1]);
        const selection = { userId: userId ?? undefined, sessionId: sessionId ?? undefined };
        if (mark(nameOf(selection), revokedAt)) onFound({ ...selection, at: revokedAt });
      }
      newest = Math.max(newest, last);
      if (found.length < pageSize * 2) return;
      // A whole page of one millisecond would be read for ever.
      since = last > since ? last : since + 1;
    }
  };

  /** Writes what Redis does not have: marked while it was away, or lost when it was emptied. */
  const push = async (): Promise<void> => {
    while (owed.size > 0) {
      const page = [...owed].slice(0, pageSize);
      await call(
        '',
        page.flatMap(([name, at]) => [name, String(at)]),
      );
      for (const [name, at] of page) if (owed.get(name) === at) owed.delete(name);
    }
  };

  const sync = async (): Promise<void> => {
    if (redis?.state !== 'ready') return;
    if (!full) {
      await pull(null);
    } else {
      const seen = new Set<string>();
      await pull(seen);
      full = false;
      for (const [name, at] of marks) if (!seen.has(`[${name},${at}]`)) owed.set(name, at);
    }
    await push();
  };

  const ticker = redis
    ? createTicker({
        everyMs: syncMs,
        run: sync,
        onError: (cause) => {
          if (!(cause instanceof RedisAwayError)) log.warn({ err: cause }, '[Revocations] could not be read');
        },
      })
    : null;
  ticker?.kick();
  const stops = [
    redis?.onState((state) => {
      // Whoever comes back may be emptied, or another: everything is compared.
      full ||= state === 'ready';
      if (state === 'ready') ticker?.kick();
    }),
    redis?.onDelivery((state) => {
      if (state === 'ready') ticker?.kick();
    }),
  ];

  return {
    get loaded() {
      return redis === null || !full;
    },
    get size() {
      return marks.size;
    },
    isRevoked({ userId, sessionId }, issuedAt) {
      if (marks.size === 0) return false;
      if (marked(nameOf({ sessionId })) !== undefined || marked(nameOf({ userId, sessionId })) !== undefined)
        return true;
      const at = marked(nameOf({ userId }));
      return at !== undefined && issuedAt <= at;
    },
    async revoke(selection) {
      const name = nameOf(selection);
      let at: number | undefined;
      if (redis?.state === 'ready') {
        try {
          at = (await call('', [name, '']))[0];
        } catch (cause) {
          if (!(cause instanceof RedisAwayError)) log.warn({ err: cause }, '[Revocations] could not be written');
        }
      }
      const revokedAt = at ?? now();
      mark(name, revokedAt);
      if (redis && at === undefined) owed.set(name, revokedAt);
      return { ...selection, at: revokedAt };
    },
    learn: (revocation) => void mark(nameOf(revocation), revocation.at),
    async close() {
      for (const stop of stops) stop?.();
      await ticker?.close();
    },
  };
}
