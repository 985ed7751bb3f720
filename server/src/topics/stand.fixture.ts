import type { NativeRequest, Principal, SubscribeInput, TopicItem, TopicsPort } from '@usher/contracts';
import { createStand, type Stand, type StandSocket } from '../hub/stand.fixture.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { createAuthorize } from './authorize.ts';
import { createDefinitions } from './definitions.ts';
import type { TopicLog } from './log.ts';
import { createPoll, type PollOptions } from './poll.ts';
import { createPublisher } from './publisher.ts';
import type { SubscribePresence, SubscriberSocket } from './serve-natively.ts';
import { createSubscribe, type SubscriberOptions } from './subscribe.ts';
import { createTopics } from './topics.ts';

export const principal = (userId: string, ...topics: string[]): Principal => ({
  userId,
  sessionId: `session-of-${userId}`,
  scopes: ['publish'],
  topics,
  expiresAt: null,
});

export interface TopicsStand extends Stand {
  readonly topics: TopicsPort;
  readonly metrics: ReturnType<typeof createMetrics>;
}

/** Topics of one instance over a log, wired as the server does. */
export function createTopicsStand(
  log: TopicLog,
  options: {
    readonly poll?: Partial<PollOptions>;
    readonly subscribe?: Partial<SubscriberOptions>;
    readonly presence?: SubscribePresence;
    readonly load?: (topic: string) => (() => Promise<string | null>) | undefined;
  } = {},
): TopicsStand {
  const load = options.load ?? (() => undefined);
  const stand = createStand(log, { load });
  const { hub } = stand;
  const metrics = createMetrics('test', 'test');
  const definitions = createDefinitions();
  const authorize = createAuthorize({ log, hub });
  const reading = { hub, authorize, definitions, metrics, maxReplayEvents: 1_000, load };
  const limits = { maxPayloadBytes: 65_536, maxStateBytes: 262_144 };
  const topics = createTopics({
    log,
    hub,
    definitions,
    load,
    publisher: createPublisher({ log, hub, definitions, limits, metrics, admit: async () => {} }),
    subscribe: createSubscribe({ ...reading, presence: options.presence ?? null, ...options.subscribe }),
    poll: createPoll({ ...reading, ...options.poll }),
  });
  return { ...stand, topics, metrics };
}

export interface NativeSocket extends SubscriberSocket, StandSocket {
  /** Subscriptions it carries. */
  readonly entered: number;
  readonly request: NativeRequest;
  /** From now on it is behind after each frame, until it drains. */
  block(): void;
  drain(): void;
}

/** A socket that is served natively. */
export function nativeSocket(stand: Stand, requestId: number | string = 1): NativeSocket {
  const base = stand.socket();
  let entered = 0;
  let behind: PromiseWithResolvers<void> | null = null;
  const socket: NativeSocket = Object.assign(base, {
    connectionId: `connection-${requestId}`,
    enter() {
      entered += 1;
    },
    exit() {
      entered -= 1;
    },
    sendFrame(frame: string) {
      base.frames.push(frame);
      return behind?.promise;
    },
    block: () => {
      behind = Promise.withResolvers();
    },
    drain: () => {
      behind?.resolve();
      behind = null;
    },
    request: { socket: base, requestId },
    entered: 0,
  });
  Object.defineProperty(socket, 'entered', { get: () => entered });
  return socket;
}

/** The items of a socket's frames. */
export const itemsOf = (socket: StandSocket): TopicItem[] =>
  socket.frames.map((frame) => (JSON.parse(frame) as { result: { data: { data: TopicItem } } }).result.data.data);

export const subscribeTo = (topic: string, more: Partial<SubscribeInput> = {}): SubscribeInput => ({
  topic,
  history: 0,
  presence: false,
  ...more,
});
