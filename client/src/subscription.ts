import type { Member, ResetReason, TopicEvent, TopicItem } from '@usher/contracts';
import { backoffMs } from './backoff.ts';
import type { Clock } from './clock.ts';
import { toUsherError, type UsherError } from './errors.ts';
import type { Logger } from './logger.ts';
import { createStream } from './stream.ts';
import { createFold, type Reduce, type TopicView } from './view.ts';

/** With any of these, items go to them; without, they wait for `for await`. */
export interface SubscribeCallbacks<TState, TEvent extends TopicEvent> {
  /** Everything, in order. */
  readonly onItem?: (item: TopicItem<TState, TEvent>, lastEventId: string) => void;
  readonly onEvent?: (event: TEvent) => void;
  /** What is known now, after each item. */
  readonly onView?: (view: TopicView<TState, TEvent>) => void;
  /** Something was missed; the view continues from here. */
  readonly onReset?: (reason: ResetReason) => void;
  /** Events may come late until `onRestored`. */
  readonly onDegraded?: () => void;
  readonly onRestored?: () => void;
  readonly onPresence?: (joined: readonly Member[], left: readonly Member[]) => void;
  /** The topic ended. */
  readonly onClosed?: (event: TEvent | undefined) => void;
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

export const subscribeDefaults = Object.freeze({ history: 0, presence: false, bufferSize: 1_000, keep: 100 });

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

export interface ItemHandlers {
  next(id: string, item: TopicItem): void;
  error(cause: unknown): void;
  complete(): void;
}

export interface SubscriptionParts {
  /** Opens the subscription after `lastEventId`; the answer leaves it. */
  open(lastEventId: string | undefined, handlers: ItemHandlers): () => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** Aborts when the client is closed. */
  readonly closed: AbortSignal;
  readonly onReset: (reason: ResetReason) => void;
  readonly onDegraded: () => void;
}

const callbackNames = [
  'onItem',
  'onEvent',
  'onView',
  'onReset',
  'onDegraded',
  'onRestored',
  'onPresence',
  'onClosed',
  'onError',
] as const satisfies (keyof SubscribeCallbacks<unknown, TopicEvent>)[];

export function createSubscription<TState, TEvent extends TopicEvent>(
  parts: SubscriptionParts,
  reduce: Reduce<TState, TEvent>,
  options: SubscribeOptions<TState, TEvent> = {},
): TopicSubscription<TState, TEvent> {
  type Item = TopicItem<TState, TEvent>;
  const { clock, logger } = parts;
  const { bufferSize, keep } = { ...subscribeDefaults, ...options };
  const called = callbackNames.some((name) => options[name] !== undefined);
  const fold = createFold(options.reduce ?? reduce, keep);
  const watchers = new Set<() => void>();
  let lastEventId = options.lastEventId;
  let over = false;
  let interruptions = 0;
  let leave = () => {};
  let stopWaiting = () => {};

  const tell = (call: () => void) => {
    try {
      call();
    } catch (error) {
      logger.error('[Usher] A callback threw', { error });
    }
  };
  const changed = () => {
    tell(() => options.onView?.(fold.view));
    for (const watcher of [...watchers]) tell(watcher);
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
    if (options.onError) tell(() => options.onError?.(error));
    else if (called) logger.error('[Usher] A subscription ended', { code: error.code, traceId: error.traceId });
  };

  const take = (id: string, item: Item) => {
    lastEventId = id;
    interruptions = 0;
    fold.take(item);
    if (!called) stream.push(item);
    tell(() => options.onItem?.(item, id));
    switch (item.type) {
      case 'event':
        tell(() => options.onEvent?.(item.event));
        break;
      case 'reset':
        tell(() => options.onReset?.(item.reason));
        tell(() => parts.onReset(item.reason));
        break;
      case 'degraded':
        tell(() => options.onDegraded?.());
        tell(parts.onDegraded);
        break;
      case 'restored':
        tell(() => options.onRestored?.());
        break;
      case 'presence':
        tell(() => options.onPresence?.(item.joined, item.left));
        break;
      case 'closed':
        tell(() => options.onClosed?.(item.event));
        finish();
    }
    changed();
  };

  const start = () => {
    let left = false;
    const close = parts.open(lastEventId, {
      // The definition's types are held by the server, where payloads are checked when they are published.
      next: (id, item) => left || over || take(id, item as Item),
      error: (cause) => left || fail(toUsherError(cause)),
      complete() {
        if (left || over) return;
        if (parts.closed.aborted) return finish();
        // The server let go without a word that the topic ended: go on from here.
        stopWaiting = clock.after(backoffMs(interruptions, { random: parts.random }), start);
        interruptions += 1;
      },
    });
    leave = () => {
      left = true;
      close();
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
    watch(listener) {
      watchers.add(listener);
      return () => watchers.delete(listener);
    },
    unsubscribe: finish,
    [Symbol.asyncIterator]() {
      if (called) throw new TypeError('A subscription with callbacks cannot be iterated: leave them out');
      return stream;
    },
    [Symbol.asyncDispose]: async () => finish(),
  };
  return subscription;
}
