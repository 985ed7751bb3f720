import type { Logger } from 'pino';
import { ErrorReply } from 'redis';
import { clusterClient } from './cluster.ts';
import { RedisAwayError, type RedisCallOptions, type RedisConnection, type RedisListener } from './connection.ts';
import { createLine, within } from './line.ts';
import { type NodeClient, singleClient } from './single.ts';

export interface ConnectOptions {
  /** `redis://` or `rediss://`; more than one means a Redis Cluster. */
  readonly urls: readonly string[];
  /** @default 'usher:' */
  readonly keyPrefix?: string;
  readonly log: Logger;
  /** How long a connect, and a command without a timeout of its own, may take. @default 5000 */
  readonly timeoutMs?: number;
  /** Told how long each command took and whether it was answered. */
  readonly onCommand?: (seconds: number, answered: boolean) => void;
}

interface Subscription {
  readonly listeners: Set<RedisListener>;
  /** Settles with the confirmation by the line there was; a new line confirms all before it is ready. */
  confirmed: Promise<void>;
}

const confirmedNow = Promise.resolve();

/** Channels of one SSUBSCRIBE when a line comes back: one command a channel makes a reconnect a storm of its own. */
const channelsPerSubscribe = 512;

// Redis' own words for "not now": what it says while it loads, follows another, is full or has lost its cluster.
const awayReply = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|OOM|BUSY|UNBLOCKED)\b/;

/** Opens Redis in the background; the answer is there at once, and `away` until Redis is. */
export function connectRedis(options: ConnectOptions): RedisConnection {
  const timeoutMs = options.timeoutMs ?? 5_000;
  const subscriptions = new Map<string, Subscription>();
  const make = (): NodeClient =>
    options.urls.length > 1 ? clusterClient(options.urls, timeoutMs) : singleClient(options.urls[0] ?? '', timeoutMs);

  const dispatch = (message: string, channel: string): void => {
    const known = subscriptions.get(channel);
    if (known) for (const listener of known.listeners) listener(message);
  };

  const commands = createLine({ name: 'commands', make, log: options.log, connectTimeoutMs: timeoutMs });
  const delivery = createLine({
    name: 'delivery',
    make,
    log: options.log,
    connectTimeoutMs: timeoutMs,
    prepare: async (client) => {
      const channels = [...subscriptions.keys()];
      const size = client.batches ? channelsPerSubscribe : 1;
      const batches: Promise<void>[] = [];
      for (let at = 0; at < channels.length; at += size) {
        batches.push(client.subscribe(channels.slice(at, at + size), dispatch));
      }
      await Promise.all(batches);
      for (const known of subscriptions.values()) known.confirmed = confirmedNow;
    },
  });

  /** Subscribes on the line there is; without one the next line does it, since the channel is already written down. */
  const confirm = async (channel: string): Promise<void> => {
    const client = delivery.client;
    if (client === null) throw new RedisAwayError('Redis is not ready', { ambiguous: false });
    try {
      await within(
        client.subscribe([channel], dispatch),
        timeoutMs,
        () => new Error(`No answer within ${timeoutMs} ms`),
      );
    } catch (cause) {
      delivery.restart('A subscription was not confirmed');
      throw new RedisAwayError('The subscription was not confirmed', { ambiguous: true, cause });
    }
  };

  /** What a failed command means: an answer from Redis stays what it is, anything else is "away". */
  const failed = (cause: unknown): never => {
    if (cause instanceof RedisAwayError) throw cause;
    if (cause instanceof ErrorReply) {
      if (!awayReply.test(cause.message)) throw cause;
      throw new RedisAwayError(`Redis refuses: ${cause.message.slice(0, 120)}`, { ambiguous: false, cause });
    }
    commands.suspect();
    throw new RedisAwayError('The connection to Redis was lost before the answer', { ambiguous: true, cause });
  };

  const call = async (
    send: (client: NodeClient) => Promise<unknown>,
    callOptions?: RedisCallOptions,
  ): Promise<unknown> => {
    const client = commands.client;
    if (client === null) throw new RedisAwayError('Redis is not ready', { ambiguous: false });
    const waitMs = callOptions?.timeoutMs ?? timeoutMs;
    const startedAt = performance.now();
    let answered = false;
    try {
      const answer = await within(send(client), waitMs, () => {
        commands.suspect();
        return new RedisAwayError(`Redis gave no answer within ${waitMs} ms`, { ambiguous: true });
      });
      answered = true;
      return answer;
    } catch (cause) {
      answered = cause instanceof ErrorReply;
      return failed(cause);
    } finally {
      options.onCommand?.((performance.now() - startedAt) / 1_000, answered);
    }
  };

  return {
    get state() {
      return commands.state;
    },
    get delivery() {
      return delivery.state;
    },
    keyPrefix: options.keyPrefix ?? 'usher:',
    run: (script, keys, args, callOptions) => call((client) => client.run(script, keys, args), callOptions),
    send: (key, args, callOptions) => call((client) => client.send(key, args), callOptions),
    async subscribe(channel, listener) {
      const known = subscriptions.get(channel);
      if (known) {
        known.listeners.add(listener);
        return known.confirmed;
      }
      const confirmed = confirm(channel);
      subscriptions.set(channel, { listeners: new Set([listener]), confirmed });
      return confirmed;
    },
    async unsubscribe(channel, listener) {
      const known = subscriptions.get(channel);
      if (!known?.listeners.delete(listener) || known.listeners.size > 0) return;
      subscriptions.delete(channel);
      try {
        await delivery.client?.unsubscribe(channel, dispatch);
      } catch (cause) {
        options.log.debug({ err: cause }, '[Redis] a subscription could not be ended; the next line will not have it');
      }
    },
    onState: commands.onState,
    onDelivery: delivery.onState,
    restartDelivery: delivery.restart,
    async close() {
      commands.close();
      delivery.close();
      subscriptions.clear();
    },
  };
}
