import { UsherError } from '@usher/contracts';
import { RedisAwayError } from '../redis/connection.ts';

/** How long a caller is asked to wait for Redis, in ms. */
const retryAfterMs = 1_000;

/** Turns "Redis is away" into what a caller is told; anything else goes through. */
export function refuseAway(cause: unknown): never {
  if (!(cause instanceof RedisAwayError)) throw cause;
  throw new UsherError('REDIS_NOT_READY', {
    ...(cause.ambiguous && {
      message: 'The log gave no answer: it may have been written; repeat with the same idempotency key',
    }),
    retryAfterMs,
    cause,
  });
}
