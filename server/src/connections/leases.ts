import type { RedisConnection } from '../redis/connection.ts';
import { loadScript } from '../redis/script.ts';

const scripts = {
  acquire: loadScript(new URL('./acquire.lua', import.meta.url)),
  refresh: loadScript(new URL('./refresh.lua', import.meta.url)),
  release: loadScript(new URL('./release.lua', import.meta.url)),
};

/** What happens to a user's connection above the limit: it is refused, or the user's oldest one makes room. */
export type Overflow = 'reject' | 'evict';

export interface LeasesOptions {
  readonly redis: RedisConnection;
  /** Most connections of one user, over all instances. */
  readonly limit: number;
  readonly overflow: Overflow;
  /** How long a connection counts that nobody refreshes, in ms. */
  readonly leaseMs: number;
  /** How long Redis may take, in ms. */
  readonly timeoutMs: number;
}

export interface LeaseHolder {
  readonly connectionId: string;
  /** In ms since 1970. */
  readonly since: number;
}

export type Acquired =
  | { readonly ok: true; readonly evicted: readonly string[] }
  | {
      readonly ok: false;
      /** When the first lease ends that nobody refreshes, in ms from now. */
      readonly freeInMs: number;
    };

/**
 * Counts each user's connections over all instances, as leases: those of a killed instance end by themselves.
 *
 * Every method rejects with `RedisAwayError` when Redis does not answer in time.
 */
export interface ConnectionLeases {
  /** Atomic, however many instances race. Asked again for the same connection, it gives the same lease. */
  acquire(userId: string, holder: LeaseHolder): Promise<Acquired>;
  /** Prolongs leases, and gives again those that Redis lost. Resolves to the connections that were evicted. */
  refresh(userId: string, holders: readonly LeaseHolder[]): Promise<readonly string[]>;
  release(userId: string, connectionIds: readonly string[]): Promise<void>;
}

export function createConnectionLeases(options: LeasesOptions): ConnectionLeases {
  const { redis, limit, overflow, leaseMs, timeoutMs } = options;
  const keysOf = (userId: string): string[] => {
    const root = `${redis.keyPrefix}{u:${userId}}:`;
    return [`${root}leases`, `${root}ages`, `${root}evicted`];
  };
  return {
    async acquire(userId, { connectionId, since }) {
      const args = [connectionId, String(since), String(leaseMs), String(limit), overflow];
      const answer = await redis.run(scripts.acquire, keysOf(userId), args, { timeoutMs });
      const [ok, ...rest] = answer as [number, ...(string | number)[]];
      return ok === 1 ? { ok: true, evicted: rest.map(String) } : { ok: false, freeInMs: Number(rest[0]) };
    },
    async refresh(userId, holders) {
      const args = [String(leaseMs)];
      for (const { connectionId, since } of holders) args.push(connectionId, String(since));
      return (await redis.run(scripts.refresh, keysOf(userId), args, { timeoutMs })) as string[];
    },
    async release(userId, connectionIds) {
      await redis.run(scripts.release, keysOf(userId), connectionIds, { timeoutMs });
    },
  };
}
