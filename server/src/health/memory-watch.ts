import type { Check } from '@usher/contracts';
import type { Logger } from 'pino';
import { createTicker } from '../connections/ticker.ts';
import { RedisAwayError, type RedisConnection } from '../redis/connection.ts';

export interface MemoryWatchOptions {
  readonly redis: RedisConnection;
  readonly log: Pick<Logger, 'warn'>;
  /** @default 15000 */
  readonly intervalMs?: number;
  /** @default 2000 */
  readonly timeoutMs?: number;
}

export interface MemoryWatch {
  readonly usedBytes: number | null;
  /** 0: no limit. */
  readonly maxBytes: number | null;
  /** Warns of a policy by which Redis throws logs away; never fails, since everything works until it does. */
  check(): Check;
  close(): void;
}

/** Above this share of its memory Redis is near refusing what is published. */
const fullShare = 0.9;

/**
 * Looks at what Redis does when its memory is full. With any policy but `noeviction` it drops keys of its choice: topics
 * lose their logs, tickets and leases vanish, and nobody is told at the moment it happens.
 */
export function createMemoryWatch(options: MemoryWatchOptions): MemoryWatch {
  const { redis, log, intervalMs = 15_000, timeoutMs = 2_000 } = options;
  const key = `${redis.keyPrefix}{memory}`;
  let policy: string | null = null;
  let usedBytes: number | null = null;
  let maxBytes: number | null = null;
  let told: string | null = null;

  const warning = (): string | null => {
    if (policy !== null && policy !== 'noeviction') {
      return `maxmemory-policy is "${policy}": wanted "noeviction", or a full Redis drops logs and tickets silently`;
    }
    if (usedBytes !== null && maxBytes !== null && maxBytes > 0 && usedBytes > fullShare * maxBytes) {
      return `Redis uses ${Math.round((100 * usedBytes) / maxBytes)} % of its maxmemory; at 100 % it refuses publishes`;
    }
    return null;
  };

  const look = async (): Promise<void> => {
    if (redis.state !== 'ready') return;
    try {
      const info = String(await redis.send(key, ['INFO', 'memory'], { timeoutMs }));
      const field = (name: string): string | null => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? null;
      const bytes = (name: string): number | null => (field(name) === null ? null : Number(field(name)));
      policy = field('maxmemory_policy');
      usedBytes = bytes('used_memory');
      maxBytes = bytes('maxmemory');
    } catch (cause) {
      // An ACL may keep INFO from us: then the policy is unknown, which is said in the check and is no fault.
      if (!(cause instanceof RedisAwayError)) policy = null;
    }
    const kind = policy === 'noeviction' && warning() !== null ? 'full' : policy;
    if (warning() !== null && kind !== told) log.warn(`[Redis] ${warning()}`);
    told = warning() === null ? null : kind;
  };

  const ticker = createTicker({ everyMs: intervalMs, run: look, onError: () => {} });
  const stop = redis.onState((state) => {
    if (state === 'ready') ticker.kick();
  });
  ticker.kick();

  return {
    get usedBytes() {
      return usedBytes;
    },
    get maxBytes() {
      return maxBytes;
    },
    check() {
      const said = warning();
      return { ok: true, policy: policy ?? 'unknown', ...(said !== null && { warning: said }) };
    },
    close() {
      stop();
      void ticker.close();
    },
  };
}
