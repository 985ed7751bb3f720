import { type TrackedEnvelope, tracked } from '@trpc/server';
import {
  type Member,
  type Principal,
  type SubscribeInput,
  type SubscribeOptions,
  type TopicItem,
  UsherError,
} from '@usher/contracts';
import type { Channel } from '../hub/channel.ts';
import { frameFor, frameTail, type RawItem } from '../hub/frame.ts';
import type { GroupSocket } from '../hub/group.ts';
import type { Hub } from '../hub/hub.ts';
import { presenceJson } from '../hub/items.ts';
import { type Joiner, type JoinOptions, join } from '../hub/join.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Authorize } from './authorize.ts';
import { refuseAway } from './away.ts';
import type { Definitions } from './definitions.ts';
import { positionOf } from './position.ts';

/** A connection as a subscription uses it. */
export interface SubscriberSocket extends GroupSocket {
  readonly connectionId: string;
  /** Counts one subscription more. @throws UsherError CONNECTION_LIMIT */
  enter(): void;
  exit(): void;
  /** Sends now; a promise means: wait, the reader is behind. Settles too when the socket has gone. */
  sendFrame(frame: string): void | Promise<void>;
}

export interface SubscribePresence {
  /** Makes a connection a member; gives those who are there, and the way out. MUST NOT reject. */
  enter(
    topic: string,
    member: { readonly connectionId: string; readonly userId: string },
  ): Promise<{ readonly members: string; exit(): void }>;
}

export interface SubscriberOptions {
  readonly hub: Hub;
  readonly authorize: Authorize;
  readonly definitions: Definitions;
  readonly presence: SubscribePresence | null;
  readonly metrics: Metrics;
  readonly maxReplayEvents: number;
  /** Items an iterating reader may be behind before it is cut. @default 1000 */
  readonly maxQueuedItems?: number;
  readonly load: (topic: string) => (() => Promise<string | null>) | undefined;
}

export type Subscribe = (
  principal: Principal,
  input: SubscribeInput,
  options: SubscribeOptions,
) => AsyncGenerator<TrackedEnvelope<TopicItem>, void>;

export function createSubscribe(options: SubscriberOptions): Subscribe {
  const { hub, definitions, authorize, metrics } = options;
  const maxQueuedItems = options.maxQueuedItems ?? 1_000;

  const joinOptions = (channel: Channel, input: SubscribeInput): JoinOptions => ({
    channel,
    hub,
    position: input.lastEventId === undefined ? undefined : positionOf(input.lastEventId),
    history: input.history,
    maxReplayEvents: options.maxReplayEvents,
    load: options.load(input.topic),
  });

  /** Served by frames that bypass tRPC's own serialisation; gives when the subscription is over. */
  const serveNatively = async (
    channel: Channel,
    input: SubscribeInput,
    principal: Principal,
    request: { readonly socket: SubscriberSocket; readonly requestId: number | string; readonly signal: AbortSignal },
  ): Promise<void> => {
    const { socket, requestId, signal } = request;
    let detach: (() => void) | undefined;
    let exitPresence: (() => void) | undefined;
    const joiner: Joiner = {
      signal,
      emit: (item) => socket.sendFrame(frameFor(requestId, frameTail(item))),
      attach: () => {
        detach = channel.attach({ requestId, presence: input.presence, history: input.history }, socket);
      },
    };
    try {
      await join(joiner, joinOptions(channel, input)).catch(refuseAway);
      if (detach === undefined || signal.aborted) return;
      if (input.presence && options.presence) {
        const { connectionId } = socket;
        const entered = await options.presence.enter(input.topic, { connectionId, userId: principal.userId });
        exitPresence = entered.exit;
        if (signal.aborted || channel.ended) return;
        // Its own coming was told to the group it is in; what it still needs is who was there before.
        const others = (JSON.parse(entered.members) as Member[]).filter(
          (member) => member.userId !== principal.userId || member.connections > 1,
        );
        if (others.length > 0) {
          const change = JSON.stringify({ joined: others, left: [] });
          await joiner.emit({ id: hub.itemId(channel.position), json: presenceJson(change) });
        }
      }
      if (channel.ended) return;
      await new Promise<void>((resolve) => {
        const stop = channel.onEnd(resolve);
        signal.addEventListener(
          'abort',
          () => {
            stop();
            resolve();
          },
          { once: true },
        );
      });
    } finally {
      detach?.();
      exitPresence?.();
    }
  };

  /** Served item by item: over server-sent events, and to callers in this process. */
  async function* iterate(
    channel: Channel,
    input: SubscribeInput,
    signal: AbortSignal,
  ): AsyncGenerator<TrackedEnvelope<TopicItem>, void> {
    const queue: RawItem[] = [];
    const over = new AbortController();
    const { signal: overSignal } = over;
    let failure: unknown;
    let finished = false;
    let wake: () => void = () => {};
    let roomMade: () => void = () => {};
    let detach: (() => void) | undefined;
    const push = (item: RawItem): void => {
      queue.push(item);
      wake();
    };
    const finish = (): void => {
      finished = true;
      wake();
    };
    const stopOnAbort = (): void => {
      over.abort();
      roomMade();
      finish();
    };
    signal.addEventListener('abort', stopOnAbort, { once: true });
    const joiner: Joiner = {
      signal: overSignal,
      emit: (item) => {
        push(item);
        if (queue.length < maxQueuedItems / 2 || overSignal.aborted) return undefined;
        return new Promise((resolve) => {
          roomMade = resolve;
        });
      },
      attach: () => {
        const stopReading = channel.read({
          presence: input.presence,
          history: input.history,
          item: (item) => {
            if (queue.length < maxQueuedItems) return push(item);
            failure = new UsherError('SLOW_CONSUMER');
            metrics.slowConsumers.inc();
            detach?.();
            finish();
          },
        });
        const stopEnd = channel.onEnd(finish);
        detach = () => {
          stopReading();
          stopEnd();
        };
      },
    };
    const joining = join(joiner, joinOptions(channel, input)).then(
      () => {
        if (detach === undefined) finish();
      },
      (cause: unknown) => {
        failure = cause;
        finish();
      },
    );
    try {
      for (;;) {
        const item = queue.shift();
        if (item !== undefined) {
          if (queue.length < maxQueuedItems / 4) roomMade();
          yield tracked(item.id, JSON.parse(item.json) as TopicItem);
          continue;
        }
        if (signal.aborted) return;
        if (finished) break;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (failure !== undefined) refuseAway(failure);
    } finally {
      stopOnAbort();
      signal.removeEventListener('abort', stopOnAbort);
      detach?.();
      await joining;
    }
  }

  return async function* subscribe(principal, input, { signal, native }) {
    const resolved = definitions.resolve(input.topic);
    const socket = native?.socket as SubscriberSocket | undefined;
    socket?.enter();
    let channel: Channel | undefined;
    try {
      await authorize(principal, resolved, false);
      channel = await hub.acquire(input.topic);
      metrics.subscriptions.inc();
      if (socket && native)
        await serveNatively(channel, input, principal, { socket, requestId: native.requestId, signal });
      else yield* iterate(channel, input, signal);
    } finally {
      socket?.exit();
      if (channel) {
        metrics.subscriptions.dec();
        hub.release(channel);
      }
    }
  };
}
