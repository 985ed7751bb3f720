import type { Member } from '@usher/contracts';
import type { RedisConnection, RedisListener } from '../redis/connection.ts';
import { loadScript } from '../redis/script.ts';
import { topicKeys } from '../topics/keys.ts';
import { type PresenceLimits, type PresenceListener, type PresenceStore, presenceLimits } from './store.ts';

const script = loadScript(new URL('./presence.lua', import.meta.url));

export interface RedisPresenceOptions extends PresenceLimits {
  readonly redis: RedisConnection;
  /** How long Redis may take, in ms. @default 1000 */
  readonly timeoutMs?: number;
}

/** Connections of one call; a script that runs long holds up everybody. */
const pageSize = 250;

/** Who is there, over all instances that share a Redis. */
export function createRedisPresence(options: RedisPresenceOptions): PresenceStore {
  const { redis, timeoutMs = 1_000 } = options;
  const { leaseMs = presenceLimits.leaseMs, maxConnections = presenceLimits.maxConnections } = options;
  const heard = new WeakMap<PresenceListener, RedisListener>();

  const call = async (
    op: string,
    topic: string,
    args: readonly string[],
  ): Promise<[number, ...(string | number)[]]> => {
    const { presence, presenceLeases, live } = topicKeys(redis.keyPrefix, topic);
    const all = [op, String(leaseMs), String(maxConnections), ...args];
    const answer = await redis.run(script, [presence, presenceLeases, live], all, { timeoutMs });
    return answer as [number, ...(string | number)[]];
  };

  return {
    get ready() {
      return redis.state === 'ready';
    },
    async hold(topic, connections) {
      let nextEndMs = -1;
      for (let at = 0; at === 0 || at < connections.length; at += pageSize) {
        const args = connections
          .slice(at, at + pageSize)
          .flatMap(({ connectionId, userId, since, info = '' }) => [connectionId, userId, String(since), info]);
        [nextEndMs] = await call('hold', topic, args);
      }
      return nextEndMs < 0 ? null : nextEndMs;
    },
    async leave(topic, connectionIds) {
      for (let at = 0; at < connectionIds.length; at += pageSize) {
        await call('leave', topic, connectionIds.slice(at, at + pageSize));
      }
    },
    async list(topic) {
      const [, ...fields] = await call('list', topic, []);
      const members: Member[] = [];
      for (let at = 0; at < fields.length; at += 4) {
        const [userId, connections, since, info] = fields.slice(at, at + 4) as [string, number, number, string];
        members.push({ userId, connections, since, ...(info !== '' && { info: JSON.parse(info) as unknown }) });
      }
      return members.sort((one, other) => one.since - other.since);
    },
    listen(topic, listener) {
      const hear: RedisListener = (message) => {
        if (message.startsWith('p\n')) listener(message.slice(2));
      };
      heard.set(listener, hear);
      return redis.subscribe(topicKeys(redis.keyPrefix, topic).live, hear);
    },
    unlisten(topic, listener) {
      const hear = heard.get(listener);
      if (hear) void redis.unsubscribe(topicKeys(redis.keyPrefix, topic).live, hear);
    },
    onReturn(listener) {
      const onReady = (state: string): void => {
        if (state === 'ready') listener();
      };
      const stops = [redis.onState(onReady), redis.onDelivery(onReady)];
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
}
