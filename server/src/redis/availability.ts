import type { Availability } from '../hub/verifier.ts';
import type { RedisConnection } from './connection.ts';

/** What is appended arrives while both lines stand. */
export function redisAvailability(redis: RedisConnection): Availability {
  return {
    get available() {
      return redis.state === 'ready' && redis.delivery === 'ready';
    },
    onChange(listener) {
      const stops = [redis.onState(listener), redis.onDelivery(listener), redis.onPartLost(listener)];
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
}
