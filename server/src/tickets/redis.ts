import type { RedisConnection } from '../redis/connection.ts';
import { loadScript } from '../redis/script.ts';
import type { TicketStore } from './store.ts';

export interface RedisTicketStoreOptions {
  readonly redis: RedisConnection;
  /** How long one command may take, in ms. @default 500 */
  readonly commandTimeoutMs?: number;
}

const takeScript = loadScript(new URL('./take.lua', import.meta.url));
const claimScript = loadScript(new URL('./claim.lua', import.meta.url));

/** Tickets in Redis, for all instances. The keys of one ticket share a hash tag, hence a slot of a Cluster. */
export function createRedisTicketStore(options: RedisTicketStoreOptions): TicketStore {
  const { redis } = options;
  const call = { timeoutMs: options.commandTimeoutMs ?? 500 };
  const key = (hash: string, state: 'ticket' | 'consumed' | 'established'): string =>
    `${redis.keyPrefix}{t:${hash}}:${state}`;

  return {
    get ready() {
      return redis.state === 'ready';
    },
    async put(hash, record, ttlMs) {
      const ticketKey = key(hash, 'ticket');
      await redis.send(ticketKey, ['SET', ticketKey, record, 'PX', String(ttlMs)], call);
    },
    async take(hash, mirrorTtlMs) {
      const keys = [key(hash, 'ticket'), key(hash, 'consumed')];
      const reply = (await redis.run(takeScript, keys, [String(mirrorTtlMs)], call)) as
        | ['ticket' | 'mirror', string]
        | null;
      return reply && { from: reply[0], record: reply[1] };
    },
    async claim(hash, attempt, tombstoneTtlMs) {
      const keys = [key(hash, 'ticket'), key(hash, 'consumed'), key(hash, 'established')];
      return (await redis.run(claimScript, keys, [attempt, String(tombstoneTtlMs)], call)) === 1;
    },
    onReady: (listener) =>
      redis.onState((state) => {
        if (state === 'ready') listener();
      }),
  };
}
