import type { TopicEvent, TopicItem } from '@usher/contracts';
import { backoffMs } from './backoff.ts';
import type { Connection } from './connection.ts';
import { toUsherError, type UsherError } from './errors.ts';
import { createNotifier } from './notifier.ts';
import { createStream } from './stream.ts';
import { createFold, type Reduce, type TopicView } from './view.ts';

/**
 * Called with each item of a type, in order: `onSnapshot`, `onResumed`, `onReset`, `onEvent`, `onPresence`, `onDegraded`,
 * `onRestored` and `onClosed`.
 */
export type ItemCallbacks<TState, TEvent extends TopicEvent> = {
  readonly [TType in TopicItem['type'] as `on${Capitalize<TType>}`]?: (
    item: Extract<TopicItem<TState, TEvent>, { readonly type: TType }>,
  ) => void;
};

/** With any of these, items go to them; without, they wait for `for await`. */
export interface SubscribeCallbacks<TState, TEvent extends TopicEvent> extends ItemCallbacks<TState, TEvent> {
  /** Every item, before the callback of its type. */
  readonly onItem?: (item: TopicItem<TState, TEvent>, lastEventId: string) => void;
  /** What is known now, after each item. */
  readonly onView?: (view: TopicView<TState, TEvent>) => void;
  /** The subscription ended; nothing comes after. */
  readonly onError?: (error: UsherError) => void;
}

export interface SubscribeOptions<TState, TEvent extends TopicEvent> extends SubscribeCallbacks<TState, TEvent> {
  /** Continue after this position, one that a subscription or a publish gave. @default from the snapshot on */
  readonly lastEventId?: string;
  /** Events of the past in the snapshot. @default 0 */
  readonly history?: number;
  /** Tells who comes and goes. @default false */
  readonly presence?: boolean;
  /** Ends the subscription. */
  readonly signal?: AbortSignal;
  /** Items that wait for `for await`; a reader that is slower is unsubscribed, and continued when it has caught up. @default 1000 */
  readonly bufferSize?: number;
  /** Events that `view` keeps. @default 100 */
  readonly keep?: number;
  /** Folds an event into the state of `view`. @default the topic's own, or the state as it is */
  readonly reduce?: Reduce<TState, TEvent>;
}

export interface TopicSubscription<TState = unknown, TEvent extends TopicEvent = TopicEvent>
  extends AsyncIterable<TopicItem<TState, TEvent>>,
    AsyncDisposable {
  /** What is known now; the same object until something changes. */
  readonly view: TopicView<TState, TEvent>;
  /** Where a later subscription can continue. */
  readonly lastEventId: string | undefined;
  /** Tells of each change of `view`; the answer stops it. */
  watch(listener: () => void): () => void;
  unsubscribe(): void;
}

/** What tRPC calls with what it hears. */
export interface ItemHandlers {
  onData(envelope: { readonly id: string; readonly data: unknown }): void;
  onError(cause: unknown): void;
  onComplete(): void;
}

export interface SubscriptionParts {
  readonly topic: string;
  readonly connection: Pick<Connection, 'clock' | 'random' | 'logger' | 'signal' | 'tell'>;
  /** Opens the subscription after `lastEventId`. */
  open(lastEventId: string | undefined, handlers: ItemHandlers): { unsubscribe(): void };
}

export function createSubscription<TState, TEvent extends TopicEvent>(
  parts: SubscriptionParts,
  reduce: Reduce<TState, TEvent>,
  options: SubscribeOptions<TState, TEvent> = {},
): TopicSubscription<TState, TEvent> {
  type Item = TopicItem<TState, TEvent>;
  const { topic, connection, open } = parts;
  const { clock, random, logger } = connection;
  const { bufferSize = 1_000, keep = 100 } = options;
  // All callbacks, and nothing else, are named so.
  const called = Object.entries(options).some(([name, value]) => name.startsWith('on') && value !== undefined);
  const fold = createFold(options.reduce ?? reduce, keep);
  const { watch, emit, tell } = createNotifier<void, SubscribeCallbacks<TState, TEvent>>(logger, options);
  let lastEventId = options.lastEventId;
  let over = false;
  let interruptions = 0;
  let leave = () => {};
  let stopWaiting = () => {};

  const changed = () => {
    tell('onView', fold.view);
    emit();
  };

  const stream = createStream<Item>({
    capacity: bufferSize,
    onFull: () => leave(),
    onRoom: () => over || start(),
    onLeave: () => finish(),
  });

  const finish = () => {
    if (over) return;
    over = true;
    leave();
    stopWaiting();
    options.signal?.removeEventListener('abort', finish);
    stream.end();
  };

  const fail = (error: UsherError) => {
    if (over) return;
    fold.failed();
    stream.end(error);
    finish();
    changed();
    if (options.onError) tell('onError', error);
    else if (called) logger.error('[Usher] A subscription ended', { error });
  };

  const take = (id: string, item: Item) => {
    lastEventId = id;
    interruptions = 0;
    fold.take(item);
    if (!called) stream.push(item);
    tell('onItem', item, id);
    const { type } = item;
    tell(`on${type[0]?.toUpperCase()}${type.slice(1)}` as 'onEvent', item as Extract<Item, { type: 'event' }>);
    if (type === 'reset') connection.tell('onReset', topic, item.reason);
    if (type === 'degraded') connection.tell('onDegraded', topic);
    if (type === 'closed') finish();
    changed();
  };

  const start = () => {
    let left = false;
    const handle = open(lastEventId, {
      // The definition's types are held by the server, where payloads are checked when they are published.
      onData: ({ id, data }) => left || over || take(id, data as Item),
      onError: (cause) => left || fail(toUsherError(cause)),
      onComplete() {
        if (left || over) return;
        if (connection.signal.aborted) return finish();
        // The server let go without a word that the topic ended: go on from here.
        stopWaiting = clock.after(backoffMs(interruptions, { random }), start);
        interruptions += 1;
      },
    });
    leave = () => {
      left = true;
      handle.unsubscribe();
    };
    if (over) leave();
  };

  if (options.signal?.aborted) finish();
  else {
    options.signal?.addEventListener('abort', finish);
    start();
  }

  const subscription: TopicSubscription<TState, TEvent> = {
    get view() {
      return fold.view;
    },
    get lastEventId() {
      return lastEventId;
    },
    watch,
    unsubscribe: finish,
    [Symbol.asyncIterator]() {
      if (called) throw new TypeError('A subscription with callbacks cannot be iterated');
      return stream[Symbol.asyncIterator]();
    },
    [Symbol.asyncDispose]: async () => finish(),
  };
  return subscription;
}
