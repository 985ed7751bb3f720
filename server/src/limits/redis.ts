import { RedisAwayError, type RedisConnection } from '../redis/connection.ts';
import { loadScript } from '../redis/script.ts';
import { createMemoryRateLimiter } from './memory.ts';
import { checkRule, type RateLimiter } from './rate.ts';

const take = loadScript(new URL('./take.lua', import.meta.url));

export interface RedisRateLimiterOptions {
  readonly redis: RedisConnection;
  /** Counts while Redis is away, so that the bound is then one limit an instance. @default createMemoryRateLimiter() */
  readonly local?: RateLimiter;
  /** How long Redis may take before the local limiter decides, in ms. @default 500 */
  readonly timeoutMs?: number;
  /** Told each time the local limiter decided, and why. */
  readonly onFallback?: (cause: unknown) => void;
}

/** Counts over all instances that share a Redis. */
export function createRedisRateLimiter(options: RedisRateLimiterOptions): RateLimiter {
  const { redis, local = createMemoryRateLimiter(), timeoutMs = 500 } = options;
  return {
    async take(key, rule) {
      const { limit, windowMs, slotMs, cost, upTo } = checkRule(rule);
      try {
        // The window is part of the name: slots of one length mean nothing to a rule with another.
        const hash = `${redis.keyPrefix}{${key}}:rate:${windowMs}`;
        const args = [limit, windowMs, slotMs, cost, upTo].map(String);
        const [taken, retryAfterMs] = (await redis.run(take, [hash], args, { timeoutMs })) as [number, number];
        return { ok: taken > 0, retryAfterMs, taken };
      } catch (cause) {
        if (!(cause instanceof RedisAwayError)) throw cause;
        options.onFallback?.(cause);
        return local.take(key, rule);
      }
    },
  };
}
