import type { TrackedEnvelope } from '@trpc/server';
import type { Principal, SubscribeInput, SubscribeOptions, TopicItem } from '@usher/contracts';
import type { Channel } from '../hub/channel.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Authorize } from './authorize.ts';
import type { Definitions } from './definitions.ts';
import { iterate } from './iterate.ts';
import { createPacer } from './pacer.ts';
import { type SubscribePresence, type SubscriberSocket, serveNatively } from './serve-natively.ts';
import { createSubscription, type SubscriptionOptions } from './subscription.ts';

export type { SubscribePresence, SubscriberSocket };

export interface SubscriberOptions extends SubscriptionOptions {
  readonly authorize: Authorize;
  readonly definitions: Definitions;
  readonly presence: SubscribePresence | null;
  readonly metrics: Metrics;
  /** Items an iterating reader may be behind before it is cut. @default 1000 */
  readonly maxQueuedItems?: number;
  /** Bytes an iterating reader may be behind before it is cut. @default 1048576 */
  readonly maxQueuedBytes?: number;
}

export type Subscribe = (
  principal: Principal,
  input: SubscribeInput,
  options: SubscribeOptions,
) => AsyncGenerator<TrackedEnvelope<TopicItem>, void>;

export function createSubscribe(options: SubscriberOptions): Subscribe {
  const { hub, definitions, authorize, metrics, presence } = options;
  const { maxQueuedItems = 1_000, maxQueuedBytes = 1_048_576 } = options;
  const pace = createPacer();
  const onSlow = (): void => metrics.slowConsumers.inc();

  return async function* subscribe(principal, input, { signal, native }) {
    const resolved = definitions.resolve(input.topic);
    const socket = native?.socket as SubscriberSocket | undefined;
    socket?.enter();
    let channel: Channel | undefined;
    try {
      await authorize(principal, resolved, false);
      channel = await hub.acquire(input.topic);
      metrics.subscriptions.inc();
      const subscription = createSubscription({ principal, resolved, channel }, input, options);
      if (socket && native) {
        await serveNatively(subscription, { socket, requestId: native.requestId, signal, presence, pace });
      } else {
        yield* iterate(subscription, signal, { maxQueuedItems, maxQueuedBytes, onSlow });
      }
    } finally {
      socket?.exit();
      if (channel) {
        metrics.subscriptions.dec();
        hub.release(channel);
      }
    }
  };
}
