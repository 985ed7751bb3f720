import type { Principal, SubscribeInput } from '@usher/contracts';
import type { Channel } from '../hub/channel.ts';
import type { Hub } from '../hub/hub.ts';
import type { JoinOptions } from '../hub/join.ts';
import { mayReadOn } from './access.ts';
import type { ResolvedTopic } from './definitions.ts';
import { positionOf } from './position.ts';

/** One reader of one topic, however it is served. */
export interface Subscription {
  readonly channel: Channel;
  readonly principal: Principal;
  readonly input: Pick<SubscribeInput, 'history' | 'presence' | 'topic'>;
  readonly join: JoinOptions;
  /** Calls `lost`, before anything more is delivered, when the topic becomes another's; gives the way to stop. */
  watchOwner(lost: () => void): () => void;
}

export interface SubscriptionOptions {
  readonly hub: Hub;
  readonly maxReplayEvents: number;
  readonly load: (topic: string) => (() => Promise<string | null>) | undefined;
}

export function createSubscription(
  reader: { readonly principal: Principal; readonly resolved: ResolvedTopic; readonly channel: Channel },
  input: Pick<SubscribeInput, 'history' | 'presence' | 'topic' | 'lastEventId'>,
  { hub, maxReplayEvents, load }: SubscriptionOptions,
): Subscription {
  const { principal, resolved, channel } = reader;
  const mayRead = mayReadOn(principal, resolved);
  return {
    channel,
    principal,
    input,
    join: {
      channel,
      hub,
      position: input.lastEventId === undefined ? undefined : positionOf(input.lastEventId),
      history: input.history,
      maxReplayEvents,
      load: load(input.topic),
      ...(mayRead && { mayRead }),
    },
    watchOwner(lost) {
      if (mayRead === undefined) return () => {};
      return channel.onOwner((owner) => {
        if (!mayRead({ made: true, owner })) lost();
      });
    },
  };
}
