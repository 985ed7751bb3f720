import type { RedisConnection, RedisListener } from '../redis/connection.ts';
import { loadScript } from '../redis/script.ts';
import { topicKeys } from './keys.ts';
import { parseLiveMessage } from './live-message.ts';
import {
  type AppendResult,
  defaultMaxIdempotencyKeys,
  defaultReaderTtlMs,
  type Entry,
  type Head,
  type LiveListener,
  type LogLimits,
  metaTtlFactor,
  type TopicLog,
} from './log.ts';
import { isOlder } from './position.ts';

const scripts = {
  append: loadScript(new URL('./append.lua', import.meta.url)),
  read: loadScript(new URL('./read.lua', import.meta.url)),
  snapshot: loadScript(new URL('./snapshot.lua', import.meta.url)),
  range: loadScript(new URL('./range.lua', import.meta.url)),
  head: loadScript(new URL('./head.lua', import.meta.url)),
  delete: loadScript(new URL('./delete.lua', import.meta.url)),
};

type Field = string | number;

const entriesFrom = (fields: readonly Field[], start: number): Entry[] => {
  const entries: Entry[] = [];
  for (let at = start; at < fields.length; at += 2) {
    entries.push({ position: String(fields[at]), tail: String(fields[at + 1]) });
  }
  return entries;
};

const headFrom = (fields: readonly Field[]): Head => ({
  last: fields[0] === '' ? null : String(fields[0]),
  made: fields[1] === 1,
  owner: fields[2] === '' ? null : String(fields[2]),
  closed: fields[3] === 1,
});

export interface RedisLogOptions extends LogLimits {
  readonly redis: RedisConnection;
}

/** The logs of all topics in Redis Streams, shared by every instance. */
export function createRedisLog(options: RedisLogOptions): TopicLog {
  const { redis, topicTtlMs } = options;
  const keysOf = (topic: string) => topicKeys(redis.keyPrefix, topic);
  const relays = new Map<string, Map<LiveListener, RedisListener>>();
  const readerTtl = String(options.readerTtlMs ?? defaultReaderTtlMs);
  const settings = [
    options.topicMaxEvents,
    topicTtlMs,
    topicTtlMs * metaTtlFactor,
    options.topicCloseGraceMs,
    options.maxIdempotencyKeys ?? defaultMaxIdempotencyKeys,
  ].map(String);

  return {
    async append(topic, request): Promise<AppendResult> {
      const keys = keysOf(topic);
      const args = [request.mode, ...settings, request.owner ?? ''];
      args.push(request.state === undefined ? '0' : '1', request.state ?? '');
      for (const entry of request.entries) args.push(entry.tail, entry.idempotencyKey ?? '');
      const answer = (await redis.run(
        scripts.append,
        [keys.meta, keys.log, keys.state, keys.idempotency, keys.idempotencyAges, keys.live],
        args,
      )) as Field[];
      if (answer[0] !== 'appended') return { outcome: answer[0] as 'closed' | 'unknown' | 'owned' };
      const positions: string[] = [];
      const duplicates: boolean[] = [];
      for (let at = 3; at < answer.length; at += 2) {
        positions.push(String(answer[at]));
        duplicates.push(answer[at + 1] === 1);
      }
      return { outcome: 'appended', last: String(answer[1]), created: answer[2] === 1, positions, duplicates };
    },

    async read(topic, after, page) {
      const keys = keysOf(topic);
      const answer = (await redis.run(
        scripts.read,
        [keys.meta, keys.log],
        [after, String(page.maxEvents), String(page.maxBytes), readerTtl],
      )) as Field[];
      if (answer[0] === 'proven') {
        const head = headFrom(answer.slice(1, 5));
        return { ...head, proven: true, last: String(answer[1]), entries: entriesFrom(answer, 5) };
      }
      const reachesBackTo = String(answer[2] || answer[1]);
      return { proven: false, reason: reachesBackTo !== '' && isOlder(after, reachesBackTo) ? 'expired' : 'unknown' };
    },

    async snapshot(topic, { maxEvents, maxBytes, touch }) {
      const keys = keysOf(topic);
      const answer = (await redis.run(
        scripts.snapshot,
        [keys.meta, keys.log, keys.state],
        [String(maxEvents), String(maxBytes), touch ? '1' : '0', readerTtl],
      )) as Field[];
      const head = headFrom(answer);
      return {
        ...head,
        last: head.last ?? '0-0',
        state: answer[4] === '' ? null : String(answer[4]),
        entries: entriesFrom(answer, 5).reverse(),
      };
    },

    async range(topic, { after, before, limit, reverse, maxBytes }) {
      const keys = keysOf(topic);
      const answer = (await redis.run(
        scripts.range,
        [keys.meta, keys.log],
        [after ?? '', before ?? '', String(limit), reverse ? '1' : '0', String(maxBytes)],
      )) as Field[];
      return { ...headFrom(answer), complete: answer[4] === 1, entries: entriesFrom(answer, 5) };
    },

    async head(topic) {
      const keys = keysOf(topic);
      return headFrom((await redis.run(scripts.head, [keys.meta, keys.log], [readerTtl])) as Field[]);
    },

    async delete(topic) {
      const keys = keysOf(topic);
      const names = [keys.meta, keys.log, keys.state, keys.idempotency, keys.idempotencyAges];
      return (await redis.run(scripts.delete, [...names, keys.presence, keys.presenceLeases, keys.live], [])) === 1;
    },

    listen(topic, listener) {
      const known = relays.get(topic) ?? new Map<LiveListener, RedisListener>();
      const relay: RedisListener =
        known.get(listener) ??
        ((text) => {
          const message = parseLiveMessage(text);
          if (message !== null) listener(message);
        });
      relays.set(topic, known.set(listener, relay));
      return redis.subscribe(keysOf(topic).live, relay);
    },

    unlisten(topic, listener) {
      const known = relays.get(topic);
      const relay = known?.get(listener);
      if (known === undefined || relay === undefined) return;
      known.delete(listener);
      if (known.size === 0) relays.delete(topic);
      void redis.unsubscribe(keysOf(topic).live, relay);
    },

    listenAgain: (topic) => redis.resubscribe(keysOf(topic).live),
  };
}
