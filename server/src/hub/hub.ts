import { type ResetReason, UsherError } from '@usher/contracts';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics/metrics.ts';
import { RedisAwayError } from '../redis/connection.ts';
import type { Continuation, Snapshot, TopicLog } from '../topics/log.ts';
import { Channel, type ChannelLimits, type ChannelObserver } from './channel.ts';
import { createItemId, type ItemId, localEventJson } from './items.ts';
import { type Availability, createVerifier } from './verifier.ts';

export type { Availability };

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
  /** Test only: `false` delivers without proof of continuity. @default true */
  readonly checkGaps?: boolean;
  readonly now?: () => number;
  readonly random?: () => number;
}

export interface Hub {
  readonly itemId: ItemId;
  /** The topic's channel, held until `release`. @throws UsherError REDIS_NOT_READY, CONNECTION_LIMIT, DRAINING */
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
  /** Counts what a reader that joined was told. */
  readonly joined: JoinObserver;
  readonly available: boolean;
  close(): void;
}

export interface JoinObserver {
  replayed(events: number): void;
  reset(reason: ResetReason): void;
}

/** Local fan-out of one instance: every topic somebody here listens to, and what keeps it true. */
export function createHub(options: HubOptions): Hub {
  const { log, availability, limits, metrics, logger } = options;
  const now = options.now ?? Date.now;
  const random = options.random ?? Math.random;
  const lingerMs = options.lingerMs ?? 5_000;
  const maxTopics = options.maxTopics ?? 100_000;
  const itemId = createItemId(random);
  const channels = new Map<string, Channel>();
  const lingering = new Map<Channel, ReturnType<typeof setTimeout>>();
  /** Bounded by the readers that wait for them. */
  const inFlight = new Map<string, Promise<unknown>>();
  let groups = 0;
  let closed = false;

  const verifier = createVerifier({
    availability,
    channels: () => channels.values(),
    logger,
    tailCheckMs: options.tailCheckMs ?? 40_000,
    degradedAfterMs: options.degradedAfterMs ?? 250,
    now,
    random,
  });

  const remove = (channel: Channel): void => {
    clearTimeout(lingering.get(channel));
    lingering.delete(channel);
    verifier.forget(channel);
    if (channels.get(channel.topic) === channel) channels.delete(channel.topic);
    metrics.topics.set(channels.size);
  };

  const letGoOf = (channel: Channel): void => {
    remove(channel);
    channel.dispose();
  };

  const observe: ChannelObserver = {
    delivered: (frames) => metrics.eventsDelivered.inc(frames),
    latency: (seconds) => metrics.deliverySeconds.observe(seconds),
    healed: (events) => {
      metrics.gapsHealed.inc();
      logger.debug({ events }, '[Hub] filled a gap from the log');
    },
    reset: (reason, readers) => metrics.resets.labels(reason).inc(readers),
    unproven: (channel, cause) => {
      if (channels.get(channel.topic) === channel) verifier.doubt(channel);
      if (!(cause instanceof RedisAwayError)) logger.error({ err: cause }, '[Hub] a topic could not be read');
    },
    ended: remove,
  };

  const make = (topic: string): Channel => {
    if (closed) throw new UsherError('DRAINING', { retryAfterMs: 1_000 });
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
      checkGaps: options.checkGaps ?? true,
      now,
      observe,
    });
    channel.started.then(
      () => {
        channel.checkedAt = verifier.spread();
        if (!availability.available) channel.degrade();
      },
      () => {},
    );
    channels.set(topic, channel);
    metrics.topics.set(channels.size);
    return channel;
  };

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
    const linger = (): void => {
      clearTimeout(lingering.get(channel));
      lingering.set(channel, setTimeout(letGo, lingerMs));
    };
    const letGo = (): void => {
      lingering.delete(channel);
      if (channel.users > 0 || channel.ended) return;
      // While Redis is away this instance's memory is all there is for polls and new subscribers.
      if (availability.available) letGoOf(channel);
      else linger();
    };
    linger();
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
        if (!channel.ended) letGoOf(channel);
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
    joined: {
      replayed: (events) => metrics.eventsReplayed.inc(events),
      reset: (reason) => metrics.resets.labels(reason).inc(),
    },
    close() {
      closed = true;
      verifier.close();
      for (const timer of lingering.values()) clearTimeout(timer);
      lingering.clear();
      for (const channel of [...channels.values()]) channel.dispose();
      channels.clear();
    },
  };
}
