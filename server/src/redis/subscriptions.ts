import type { Logger } from 'pino';
import { ClientOfflineError, ErrorReply } from 'redis';
import { RedisAwayError, type RedisListener } from './connection.ts';
import { type Line, within } from './line.ts';
import type { Dispatch, NodeClient } from './single.ts';

export interface SubscriptionsOptions {
  readonly log: Logger;
  /** The subscription line. */
  readonly line: () => Line<NodeClient>;
  /** How long Redis may take to confirm. */
  readonly timeoutMs: number;
}

/** Who listens to what, and on which client that stands. */
export interface Subscriptions {
  /** Resolves when Redis has confirmed; stays written down when it rejects. @throws RedisAwayError */
  add(channel: string, listener: RedisListener): Promise<void>;
  /** MUST NOT reject. */
  remove(channel: string, listener: RedisListener): Promise<void>;
  /** Subscribes anew what somebody listens to. @throws RedisAwayError */
  again(channel: string): Promise<void>;
  /** Brings a new client to hold everything; rejects when it cannot. */
  renew(client: NodeClient): Promise<void>;
  /** Mends what changed in the very moment a client became ready. */
  settleAll(): Promise<void>;
  clear(): void;
}

interface Subscription {
  readonly listeners: Set<RedisListener>;
  /** The client that has confirmed the channel; any other does not have it. */
  standsOn: NodeClient | null;
  /** It is confirmed, and yet nothing comes. */
  doubted: boolean;
  /** The one who is talking to Redis about this channel. */
  turn: Promise<void> | null;
}

/** Channels of one SSUBSCRIBE when a line comes back: one command a channel makes a reconnect a storm of its own. */
const channelsPerSubscribe = 512;

/**
 * Keeps what is subscribed in step with what is wanted, one command a channel at a time: node-redis answers a subscribe
 * that overtakes an unsubscribe under way as already done, and then takes the subscription away.
 */
export function createSubscriptions({ log, line, timeoutMs }: SubscriptionsOptions): Subscriptions {
  const subscriptions = new Map<string, Subscription>();
  /** Clients that are being brought to hold everything. */
  let renewals = 0;

  const dispatch: Dispatch = (message, channel) => {
    for (const listener of subscriptions.get(channel)?.listeners ?? []) {
      try {
        listener(message);
      } catch (cause) {
        // Inside node-redis it would end the process, or the line of everybody else.
        log.error({ err: cause }, '[Redis] a listener failed');
      }
    }
  };

  const confirm = async (client: NodeClient, channel: string, known: Subscription): Promise<void> => {
    try {
      const late = () => new Error(`No answer within ${timeoutMs} ms`);
      await within(client.subscribe([channel], dispatch), timeoutMs, late);
      known.standsOn = client;
    } catch (cause) {
      // A refusal is an answer; silence means that nobody knows what this client is subscribed to.
      // One primary of a cluster sees to itself: the others go on.
      const answered = cause instanceof ErrorReply || cause instanceof ClientOfflineError || !client.batches;
      if (!answered) line().restart('A subscription was not confirmed', client);
      throw new RedisAwayError('The subscription was not confirmed', { ambiguous: true, cause });
    }
  };

  const end = async (client: NodeClient, channel: string, known: Subscription): Promise<void> => {
    known.standsOn = null;
    try {
      const late = () => new Error(`No answer within ${timeoutMs} ms`);
      await within(client.unsubscribe(channel, dispatch), timeoutMs, late);
    } catch (cause) {
      log.debug({ err: cause }, '[Redis] a subscription could not be ended; the next line will not have it');
    }
  };

  const turn = async (channel: string, known: Subscription): Promise<void> => {
    for (;;) {
      const { client } = line();
      const stands = client !== null && known.standsOn === client;
      if (known.listeners.size === 0) {
        if (!stands) {
          // One that is being renewed may stand in a moment, and must then be known to be ended.
          if (renewals === 0) subscriptions.delete(channel);
          return;
        }
        await end(client, channel, known);
      } else {
        if (stands && !known.doubted) return;
        if (stands) await end(client, channel, known);
        known.doubted = false;
        if (client === null) throw new RedisAwayError('Redis is not ready', { ambiguous: false });
        await confirm(client, channel, known);
      }
    }
  };

  const settle = (channel: string, known: Subscription): Promise<void> => {
    known.turn ??= turn(channel, known).finally(() => {
      known.turn = null;
    });
    return known.turn;
  };

  const subscribeAll = async (client: NodeClient, missing: readonly [string, Subscription][]): Promise<void> => {
    const size = client.batches ? channelsPerSubscribe : 1;
    const batches: Promise<void>[] = [];
    for (let at = 0; at < missing.length; at += size) {
      const batch = missing.slice(at, at + size);
      const channels = batch.map(([channel]) => channel);
      const subscribed = client.subscribe(channels, dispatch).then(() => {
        for (const [, known] of batch) known.standsOn = client;
      });
      batches.push(subscribed);
    }
    if (client.batches) await Promise.all(batches);
    // A primary that is away must not keep the others' channels away: its own are settled when it is replaced.
    else await Promise.allSettled(batches);
  };

  return {
    add(channel, listener) {
      const known = subscriptions.get(channel) ?? { listeners: new Set(), standsOn: null, doubted: false, turn: null };
      subscriptions.set(channel, known);
      known.listeners.add(listener);
      return settle(channel, known);
    },

    async remove(channel, listener) {
      const known = subscriptions.get(channel);
      if (known?.listeners.delete(listener) && known.listeners.size === 0) await settle(channel, known).catch(() => {});
    },

    async again(channel) {
      const known = subscriptions.get(channel);
      if (known === undefined || known.listeners.size === 0) return;
      known.doubted = true;
      await settle(channel, known);
    },

    async renew(client) {
      renewals += 1;
      try {
        for (;;) {
          const missing = [...subscriptions].filter(
            ([, known]) => known.listeners.size > 0 && known.standsOn !== client,
          );
          if (missing.length === 0) return;
          await subscribeAll(client, missing);
          if (!client.batches) return;
        }
      } finally {
        renewals -= 1;
      }
    },

    async settleAll() {
      const { client } = line();
      const settled = [...subscriptions]
        .filter(([, known]) => known.listeners.size === 0 || known.standsOn !== client)
        .map(([channel, known]) => settle(channel, known).catch(() => {}));
      await Promise.all(settled);
    },

    clear: () => subscriptions.clear(),
  };
}
