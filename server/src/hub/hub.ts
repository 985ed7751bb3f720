import { UsherError } from '@usher/contracts';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics/metrics.ts';
import { RedisAwayError } from '../redis/connection.ts';
import type { Continuation, Snapshot, TopicLog } from '../topics/log.ts';
import { Channel, type ChannelLimits } from './channel.ts';
import { createItemId, type ItemId, localEventJson } from './items.ts';

/** Whether what is appended arrives: Redis answers, and its subscriptions are there. */
export interface Availability {
  readonly available: boolean;
  onChange(listener: () => void): () => void;
}

export interface HubOptions {
  readonly log: TopicLog;
  readonly availability: Availability;
  readonly publish: (group: string, frame: string) => void;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly limits: ChannelLimits;
  /** The application's state of a topic, as JSON; `undefined` where its definition gives none. */
  readonly load: (topic: string) => (() => Promise<string | null>) | undefined;
  /** Topics listened to on this instance. @default 100000 */
  readonly maxTopics?: number;
  /** A topic nobody listens to is let go of after this long. @default 5000 */
  readonly lingerMs?: number;
  /** An idle topic compares its position with the log this often. @default 40000 */
  readonly tailCheckMs?: number;
  /** Redis may be away for this long before subscribers are told. @default 250 */
  readonly degradedAfterMs?: number;
  /** Test only [channel.ts]. @default true */
  readonly checkGaps?: boolean;
  readonly now?: () => number;
  readonly random?: () => number;
}

export interface Hub {
  readonly itemId: ItemId;
  /** The topic's channel, held until `release`. @throws UsherError REDIS_NOT_READY, CONNECTION_LIMIT */
  acquire(topic: string): Promise<Channel>;
  release(channel: Channel): void;
  /** The channel that is there and knows its position. */
  find(topic: string): Channel | undefined;
  /** Reads that ask for the same are one read. */
  read(topic: string, after: string): Promise<Continuation>;
  snapshot(topic: string, history: number): Promise<Snapshot>;
  /** Gives an unlogged event to this instance's subscribers. */
  deliverLocal(topic: string, tail: string): void;
  /** Tells this instance's subscribers who came and went, where the log's live channel does not. */
  tellPresence(topic: string, change: string): void;
  readonly available: boolean;
  close(): void;
}

/** Channels that are proven anew at once when Redis returns. */
const verifyAtOnce = 64;

/** How long an unproven channel waits before it asks again while Redis answers. */
const verifyAgainMs = 1_000;

/** Local fan-out of one instance: every topic somebody here listens to, and what keeps it true. */
export function createHub(options: HubOptions): Hub {
  const { log, availability, limits, metrics, logger } = options;
  const now = options.now ?? Date.now;
  const random = options.random ?? Math.random;
  const lingerMs = options.lingerMs ?? 5_000;
  const tailCheckMs = options.tailCheckMs ?? 40_000;
  const maxTopics = options.maxTopics ?? 100_000;
  const itemId = createItemId(random);
  const channels = new Map<string, Channel>();
  const lingering = new Map<Channel, ReturnType<typeof setTimeout>>();
  const unproven = new Set<Channel>();
  const inFlight = new Map<string, Promise<unknown>>();
  let groups = 0;
  let verifying = false;
  let degradeTimer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  const remove = (channel: Channel): void => {
    clearTimeout(lingering.get(channel));
    lingering.delete(channel);
    unproven.delete(channel);
    if (channels.get(channel.topic) === channel) channels.delete(channel.topic);
    metrics.topics.set(channels.size);
  };

  const make = (topic: string): Channel => {
    if (channels.size >= maxTopics) {
      throw new UsherError('CONNECTION_LIMIT', {
        message: 'This instance listens to as many topics as it may',
        retryAfterMs: 5_000,
      });
    }
    const channel = new Channel({
      topic,
      log,
      limits,
      itemId,
      publish: options.publish,
      groupName: () => {
        groups += 1;
        return groups.toString(36);
      },
      load: options.load(topic),
      now,
      checkGaps: options.checkGaps ?? true,
      observe: {
        delivered: (frames) => metrics.eventsDelivered.inc(frames),
        latency: (seconds) => metrics.deliverySeconds.observe(seconds),
        healed: (events) => {
          metrics.gapsHealed.inc();
          logger.debug({ events }, '[Hub] filled a gap from the log');
        },
        reset: (reason, readers) => metrics.resets.labels(reason).inc(readers),
        unproven: (unprovenChannel, cause) => {
          unproven.add(unprovenChannel);
          if (!(cause instanceof RedisAwayError)) logger.error({ err: cause }, '[Hub] a topic could not be read');
        },
        ended: remove,
      },
    });
    // Checks are spread from the start: topics subscribed in one moment must not all ask in one moment.
    channel.started.then(
      () => {
        channel.checkedAt = now() - random() * tailCheckMs;
        if (!availability.available) channel.degrade();
      },
      () => {},
    );
    channels.set(topic, channel);
    metrics.topics.set(channels.size);
    return channel;
  };

  const verify = async (channel: Channel): Promise<void> => {
    unproven.delete(channel);
    channel.checkedAt = now();
    await channel.verify();
  };

  /** Proves channels a bounded number at a time; stops when Redis goes again. */
  const verifyAll = async (which: () => Iterable<Channel>): Promise<void> => {
    if (verifying) return;
    verifying = true;
    try {
      const queue = [...which()];
      const worker = async (): Promise<void> => {
        for (let channel = queue.pop(); channel !== undefined; channel = queue.pop()) {
          if (closed || !availability.available) return;
          await verify(channel);
        }
      };
      await Promise.all(Array.from({ length: verifyAtOnce }, worker));
    } finally {
      verifying = false;
    }
  };

  const stopListening = availability.onChange(() => {
    clearTimeout(degradeTimer);
    if (availability.available) {
      for (const channel of channels.values()) unproven.add(channel);
      void verifyAll(() => unproven);
    } else {
      degradeTimer = setTimeout(() => {
        for (const channel of channels.values()) channel.degrade();
      }, options.degradedAfterMs ?? 250);
    }
  });

  const ticker = setInterval(() => {
    if (!availability.available) return;
    const due = now() - tailCheckMs;
    void verifyAll(function* () {
      yield* unproven;
      for (const channel of channels.values()) {
        if (channel.checkedAt < due && channel.position !== '' && !unproven.has(channel)) yield channel;
      }
    });
  }, verifyAgainMs);

  const shared = <T>(key: string, start: () => Promise<T>): Promise<T> => {
    const known = inFlight.get(key) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const started = start().finally(() => inFlight.delete(key));
    inFlight.set(key, started);
    return started;
  };

  const release = (channel: Channel): void => {
    channel.users -= 1;
    if (channel.users > 0 || channel.ended || closed) return;
    const letGo = (): void => {
      lingering.delete(channel);
      if (channel.users > 0 || channel.ended) return;
      // While Redis is away this instance's memory is all there is for polls and new subscribers.
      if (!availability.available) {
        lingering.set(channel, setTimeout(letGo, lingerMs));
        return;
      }
      remove(channel);
      channel.dispose();
    };
    clearTimeout(lingering.get(channel));
    lingering.set(channel, setTimeout(letGo, lingerMs));
  };

  return {
    itemId,
    get available() {
      return availability.available;
    },
    async acquire(topic) {
      const channel = channels.get(topic) ?? make(topic);
      channel.users += 1;
      clearTimeout(lingering.get(channel));
      lingering.delete(channel);
      try {
        await channel.started;
        return channel;
      } catch (cause) {
        channel.users -= 1;
        if (!channel.ended) {
          remove(channel);
          channel.dispose();
        }
        throw cause instanceof RedisAwayError
          ? new UsherError('REDIS_NOT_READY', { retryAfterMs: 1_000, cause })
          : cause;
      }
    },
    release,
    find(topic) {
      const channel = channels.get(topic);
      return channel === undefined || channel.position === '' || channel.ended ? undefined : channel;
    },
    read: (topic, after) =>
      shared(`r ${after} ${topic}`, () =>
        log.read(topic, after, { maxEvents: limits.pageEvents, maxBytes: limits.pageBytes }),
      ),
    snapshot: (topic, history) =>
      shared(`s ${history} ${topic}`, () =>
        log.snapshot(topic, { maxEvents: history, maxBytes: limits.maxHistoryBytes, touch: true }),
      ),
    tellPresence(topic, change) {
      channels.get(topic)?.tellPresence(change);
    },
    deliverLocal(topic, tail) {
      channels.get(topic)?.deliverLocal(localEventJson(now(), tail));
    },
    close() {
      closed = true;
      stopListening();
      clearInterval(ticker);
      clearTimeout(degradeTimer);
      for (const timer of lingering.values()) clearTimeout(timer);
      lingering.clear();
      for (const channel of channels.values()) channel.dispose();
      channels.clear();
      unproven.clear();
    },
  };
}
