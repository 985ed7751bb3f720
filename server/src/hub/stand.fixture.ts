import type { TopicEvent, TopicItem } from '@usher/contracts';
import { type Logger, pino } from 'pino';
import { createMetrics } from '../metrics/metrics.ts';
import type { AppendRequest, TopicLog } from '../topics/log.ts';
import type { Channel, ChannelLimits } from './channel.ts';
import type { GroupSocket } from './group.ts';
import { createHub, type Hub, type HubOptions } from './hub.ts';
import { type JoinOptions, join } from './join.ts';

export const standLimits: ChannelLimits = {
  pageEvents: 4,
  pageBytes: 100_000,
  ringEvents: 8,
  ringBytes: 100_000,
  maxReplayEvents: 50,
  maxHistoryBytes: 100_000,
  maxPending: 6,
};

export interface Stand {
  readonly hub: Hub;
  readonly lines: readonly string[];
  setAvailable(available: boolean): void;
  /** What a counter of the metrics shows. */
  count(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** A socket that keeps its frames. */
  socket(): StandSocket;
}

export interface StandSocket extends GroupSocket {
  readonly frames: string[];
  readonly groups: Set<string>;
}

/** A hub of one instance, with what surrounds it. */
export function createStand(log: TopicLog, options: Partial<HubOptions> = {}): Stand {
  const metrics = createMetrics('test', 'test');
  const changed = new Set<() => void>();
  const members = new Map<string, Set<StandSocket>>();
  const lines: string[] = [];
  const logger: Logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  let available = true;
  const hub = createHub({
    log,
    metrics,
    logger,
    availability: {
      get available() {
        return available;
      },
      onChange(listener) {
        changed.add(listener);
        return () => void changed.delete(listener);
      },
    },
    publish: (group, frame) => {
      for (const socket of members.get(group) ?? []) socket.frames.push(frame);
    },
    load: () => undefined,
    ...options,
    limits: { ...standLimits, ...options.limits },
  });
  return {
    hub,
    lines,
    setAvailable(next) {
      available = next;
      for (const listener of [...changed]) listener();
    },
    async count(name, labels = {}) {
      const metric = await metrics.registry.getSingleMetric(name)?.get();
      const wanted = Object.entries(labels);
      const values = metric?.values.filter(({ labels: has }) => wanted.every(([key, value]) => has[key] === value));
      return values?.reduce((sum, { value }) => sum + value, 0) ?? 0;
    },
    socket() {
      const socket: StandSocket = {
        frames: [],
        groups: new Set(),
        join(group) {
          socket.groups.add(group);
          members.set(group, (members.get(group) ?? new Set()).add(socket));
        },
        leave(group) {
          socket.groups.delete(group);
          members.get(group)?.delete(socket);
        },
      };
      return socket;
    },
  };
}

/** Lets promises settle that wait for nothing but each other. */
export async function turn(): Promise<void> {
  for (let n = 0; n < 50; n += 1) await Promise.resolve();
}

/** An append of so many numbered events. */
export function numbered(numbers: readonly number[], more: Partial<AppendRequest> = {}): AppendRequest {
  const entries = numbers.map((n) => ({ tail: `"name":"e","data":${n}`, idempotencyKey: undefined }));
  return { entries, state: undefined, owner: undefined, mode: 'publish', ...more };
}

/** One reader, as a subscription would be: what it was told, and where it is. */
export interface Reader {
  readonly channel: Channel;
  /** `5` for event 5, and the type of any other item. */
  readonly told: (number | string)[];
  readonly items: { readonly id: string; readonly item: TopicItem }[];
  /** Settles when the join is over. */
  readonly joined: Promise<void>;
  readonly isLive: boolean;
  readonly hasEnded: boolean;
  /** The id to come back with. */
  readonly lastId: string | undefined;
  /** Makes the reader slow: nothing more is emitted to it until this is called. */
  leave(): void;
}

export interface ReaderOptions extends Partial<Omit<JoinOptions, 'channel' | 'hub'>> {
  readonly presence?: boolean;
  /** Waits, as a slow socket does, after each item. */
  readonly pace?: (item: string) => void | Promise<void>;
  /** Told before each item is taken. */
  readonly onItem?: (id: string, item: TopicItem) => void;
}

export async function readTopic(hub: Hub, topic: string, options: ReaderOptions = {}): Promise<Reader> {
  const channel = await hub.acquire(topic);
  const { presence = false, history = 0, pace, onItem, ...rest } = options;
  const told: (number | string)[] = [];
  const items: Reader['items'] = [];
  const left = new AbortController();
  const stops: (() => void)[] = [];
  let isLive = false;
  let hasEnded = false;
  const take = ({ id, json }: { readonly id: string; readonly json: string }): void => {
    const item = JSON.parse(json) as TopicItem;
    onItem?.(id, item);
    items.push({ id, item });
    told.push(item.type === 'event' ? numberOf(item.event) : item.type);
  };
  const joiner = {
    signal: left.signal,
    emit(raw: { readonly id: string; readonly json: string }) {
      take(raw);
      return pace?.(raw.json);
    },
    attach() {
      isLive = true;
      const stopReading = channel.read({ presence, history, item: take });
      stops.push(stopReading);
      const { mayRead } = rest;
      if (mayRead) stops.push(channel.onOwner((owner) => mayRead({ made: true, owner }) || stopReading()));
      stops.push(
        channel.onEnd(() => {
          hasEnded = true;
        }),
      );
    },
  };
  const joined = join(joiner, {
    channel,
    hub,
    position: undefined,
    history,
    maxReplayEvents: 50,
    load: undefined,
    ...rest,
  });
  return {
    channel,
    told,
    items,
    joined,
    get isLive() {
      return isLive;
    },
    get hasEnded() {
      return hasEnded;
    },
    get lastId() {
      return items.at(-1)?.id;
    },
    leave() {
      left.abort();
      for (const stop of stops.splice(0)) stop();
      hub.release(channel);
    },
  };
}

export const numberOf = (event: TopicEvent): number => event.data as number;
