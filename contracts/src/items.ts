import type { z } from 'zod';
import type { TopicDefinition } from './topics/define.ts';

/** One entry of a topic as a reader gets it. */
export interface TopicEvent<TName extends string = string, TData = unknown> {
  /** The entry's id; `null` when it was only delivered locally. Compare for equality only. */
  readonly position: string | null;
  /** When it was appended, in ms since 1970. */
  readonly at: number;
  readonly name: TName;
  readonly data: TData;
  /** `false` on an event that reached only this instance's subscribers while the log was away. */
  readonly durable?: false;
}

/** Why what a reader had cannot be continued. */
export type ResetReason =
  /** The log no longer reaches back to the position. */
  | 'expired'
  /** The position is not of this log. */
  | 'unknown'
  /** More was missed than one replay may carry. */
  | 'limit';

/** One member of a topic's presence. */
export interface Member {
  readonly userId: string;
  /** Connections of this user that listen to the topic. */
  readonly connections: number;
  /** When the first of them came, in ms since 1970. */
  readonly since: number;
  readonly info?: unknown;
}

/** What a subscription or a poll gives, in order. The first is `snapshot`, `resumed` or `reset`. */
export type TopicItem<TState = unknown, TEvent extends TopicEvent = TopicEvent> =
  | { readonly type: 'snapshot'; readonly state: TState | null; readonly events: readonly TEvent[] }
  | { readonly type: 'resumed'; readonly replayed: number }
  | {
      readonly type: 'reset';
      readonly reason: ResetReason;
      readonly state: TState | null;
      readonly events: readonly TEvent[];
    }
  | { readonly type: 'event'; readonly event: TEvent }
  | { readonly type: 'presence'; readonly joined: readonly Member[]; readonly left: readonly Member[] }
  | { readonly type: 'degraded' }
  | { readonly type: 'restored' }
  | { readonly type: 'closed'; readonly event?: TEvent };

/** The state type of a topic definition. */
export type StateOf<TDefinition extends TopicDefinition> = z.output<TDefinition['state']>;

/** The events of a topic definition, as a union discriminated by `name`. */
export type EventOf<TDefinition extends TopicDefinition> = TDefinition['events'] extends infer TEvents
  ? TEvents extends Readonly<Record<string, z.ZodType>>
    ? { [K in Extract<keyof TEvents, string>]: TopicEvent<K, z.output<TEvents[K]>> }[Extract<keyof TEvents, string>]
    : TopicEvent
  : never;

/** The items of a topic definition. */
export type ItemOf<TDefinition extends TopicDefinition> = TopicItem<StateOf<TDefinition>, EventOf<TDefinition>>;
