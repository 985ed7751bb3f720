import type { TRPCClient } from '@trpc/client';
import type {
  EventOf,
  Published,
  PublishedMany,
  StateOf,
  TopicDefinition,
  TopicPage,
  UsherRouter,
} from '@usher/contracts';
import { toUsherError } from './errors.ts';
import { idempotencyKey } from './idempotency-key.ts';
import { reducerOf } from './reducers.ts';
import {
  createSubscription,
  type SubscribeOptions,
  type SubscriptionParts,
  type TopicSubscription,
} from './subscription.ts';
import type { Reduce } from './view.ts';

export interface PublishOptions<TState> {
  /** The new latest state, written with the event. */
  readonly state?: TState;
  /** Who may read the topic; given with its first event. */
  readonly owner?: string;
  /** The same key never makes two entries. @default a new one for each call */
  readonly idempotencyKey?: string;
  /** `false`: while the log is away, deliver to this instance's subscribers only. @default true */
  readonly durable?: boolean;
}

export type EventNamed<TEvent, TName> =
  Extract<TEvent, { readonly name: TName }> extends never ? TEvent : Extract<TEvent, { readonly name: TName }>;

/** One topic of the server, typed by its definition. All calls throw `UsherError` and nothing else. */
export interface Topic<TDefinition extends TopicDefinition> {
  /** `name:id`. */
  readonly topic: string;
  subscribe(
    options?: SubscribeOptions<StateOf<TDefinition>, EventOf<TDefinition>>,
  ): TopicSubscription<StateOf<TDefinition>, EventOf<TDefinition>>;
  publish<TName extends EventOf<TDefinition>['name']>(
    name: TName,
    data: EventNamed<EventOf<TDefinition>, TName>['data'],
    options?: PublishOptions<StateOf<TDefinition>>,
  ): Promise<Published>;
  publishMany(
    events: readonly EventInput<EventOf<TDefinition>>[],
    options?: Omit<PublishOptions<StateOf<TDefinition>>, 'idempotencyKey'>,
  ): Promise<PublishedMany>;
  create(options?: { readonly owner?: string; readonly state?: StateOf<TDefinition> }): Promise<{
    readonly position: string;
    readonly created: boolean;
  }>;
  /** Ends the topic, with a last event and a last state if given. */
  close(options?: {
    readonly event?: EventInput<EventOf<TDefinition>>;
    readonly state?: StateOf<TDefinition>;
  }): Promise<{ readonly position: string }>;
  state(): Promise<{ readonly position: string; readonly state: StateOf<TDefinition> | null }>;
  history(options?: HistoryOptions): Promise<Omit<TopicPage, 'events'> & { readonly events: EventOf<TDefinition>[] }>;
}

type EventInput<TEvent> = TEvent extends { readonly name: infer TName; readonly data: infer TData }
  ? { readonly name: TName; readonly data: TData; readonly idempotencyKey?: string }
  : never;

export interface HistoryOptions {
  /** Events after this position. */
  readonly after?: string;
  /** Events before this position. */
  readonly before?: string;
  /** @default 100 */
  readonly limit?: number;
  /** Newest first. @default false */
  readonly reverse?: boolean;
}

export interface TopicParts {
  readonly trpc: TRPCClient<UsherRouter>;
  readonly connection: SubscriptionParts['connection'];
}

export function createTopic<TDefinition extends TopicDefinition>(
  { trpc, connection }: TopicParts,
  name: string,
  id: string,
): Topic<TDefinition> {
  type State = StateOf<TDefinition>;
  type Event = EventOf<TDefinition>;
  const topic = `${name}:${id}`;
  const calls = trpc.topic;
  const keyed = <T extends { readonly idempotencyKey?: string }>(event: T) => ({
    ...event,
    idempotencyKey: event.idempotencyKey ?? idempotencyKey(),
  });

  return {
    topic,
    subscribe(options = {}) {
      const { history, presence } = options;
      const open: SubscriptionParts['open'] = (lastEventId, handlers) =>
        calls.subscribe.subscribe({ topic, history, presence, lastEventId }, handlers);
      return createSubscription({ topic, connection, open }, reducerOf(name) as Reduce<State, Event>, options);
    },
    publish: (eventName, data, options) =>
      typed(calls.publish.mutate(keyed({ ...options, topic, event: { name: eventName, data } }))),
    publishMany: (events, options) => typed(calls.publishMany.mutate({ ...options, topic, events: events.map(keyed) })),
    create: (options) => typed(calls.create.mutate({ ...options, topic })),
    close: (options) => typed(calls.close.mutate({ ...options, topic })),
    state: () => typed(calls.state.query({ topic }) as ReturnType<Topic<TDefinition>['state']>),
    history: (options) =>
      typed<unknown>(calls.history.query({ ...options, topic })) as ReturnType<Topic<TDefinition>['history']>,
  };
}

async function typed<T>(call: PromiseLike<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    throw toUsherError(cause);
  }
}
