import { createTRPCClient, httpLink } from '@trpc/client';
import type { BoxedTopics, EventOf, Published, StateOf, UsherRouter } from '@usher/contracts';
import type { BackoffOptions } from './backoff.ts';
import { checkOptions } from './check-options.ts';
import { type Clock, closedError, pause, systemClock, within } from './clock.ts';
import { createEndpoints } from './endpoints.ts';
import { hostEnvironment } from './environment.ts';
import { actionOf, toUsherError, UsherError } from './errors.ts';
import { idempotencyKey } from './idempotency-key.ts';
import { type Logger, quietLogger } from './logger.ts';
import { createNotifier } from './notifier.ts';
import { createPace } from './pace.ts';
import { batchInput, batchLength, type Entry, type OutgoingEvent } from './publisher-batch.ts';
import { createRequest, type RequestOptions } from './request.ts';
import { createTokenSource, type TokenOption } from './token.ts';
import type { EventNamed, PublishOptions } from './topic.ts';
import type { Topics } from './usher.ts';

export interface PublisherOptions extends RequestOptions {
  /** Where Usher answers: `https://example.com`. */
  readonly url: string | URL;
  /** JWT or API key with scope `publish`, or a function that gives one. @default none */
  readonly token?: TokenOption;
  /** Longest wait for the token function, in ms. @default 10000 */
  readonly tokenTimeoutMs?: number;
  /** Longest wait for one answer, in ms. @default 15000 */
  readonly timeoutMs?: number;
  /** How long an event waits for others of its topic to go with it, in ms. @default 5 */
  readonly lingerMs?: number;
  /** Most events of one request, up to 1,000. @default 100 */
  readonly maxBatchEvents?: number;
  /** Most JSON of one request's events, in characters; one event alone may be longer. @default 131072 */
  readonly maxBatchChars?: number;
  /** Events that wait or are under way, over all topics; past it `publish()` is refused with `OVERFLOW`. @default 10000 */
  readonly maxBufferedEvents?: number;
  /** Tries of a batch after the first, with backoff and full jitter between them. `maxRetries` @default Infinity */
  readonly retry?: BackoffOptions & { readonly maxRetries?: number };
  /** Longest wait of `close()` for what is buffered, in ms; the rest fails with `CLOSED`. @default 10000 */
  readonly closeTimeoutMs?: number;
  /** Told of each event that was given up, whether or not its promise is looked at. @default logged as an error */
  readonly onError?: (error: UsherError, event: OutgoingEvent) => void;
  /** @default silent but for errors */
  readonly logger?: Logger;
  /** @default the system's */
  readonly clock?: Clock;
  /** @default Math.random */
  readonly random?: () => number;
}

/** Publishes for a worker: in order for each topic, in batches, and again with the same keys until it is answered. */
export interface Publisher<TTopics extends Topics = BoxedTopics> extends AsyncDisposable {
  /**
   * Resolves when the event is in the log. It need not be awaited: a failure is told to `onError` too, and is never an
   * unhandled rejection. Rejects with `UsherError`: OVERFLOW, CLOSED, or what the server refused with.
   */
  publish(event: OutgoingEvent): Promise<Published>;
  /** The same, typed by the topic's definition. */
  topic<TName extends keyof TTopics & string>(name: TName, id: string): TopicPublisher<TTopics[TName]>;
  /** Events that wait or are under way. */
  readonly buffered: number;
  /** Resolves when the buffer is at most half full: await it where events are made faster than they go. */
  room(): Promise<void>;
  /** Resolves when all that was published before is settled, well or not. */
  flush(): Promise<void>;
  /** Takes no more events, flushes, and stops. */
  close(): Promise<void>;
}

export interface TopicPublisher<TDefinition extends Topics[string]> {
  publish<TName extends EventOf<TDefinition>['name']>(
    name: TName,
    data: EventNamed<EventOf<TDefinition>, TName>['data'],
    options?: PublishOptions<StateOf<TDefinition>>,
  ): Promise<Published>;
}

/** @throws TypeError for options that cannot be */
export function createPublisher<TTopics extends Topics = BoxedTopics>(options: PublisherOptions): Publisher<TTopics> {
  checkOptions(options, options.retry);
  const { clock = systemClock, logger = quietLogger, random = Math.random, timeoutMs = 15_000 } = options;
  const { lingerMs = 5, maxBufferedEvents = 10_000, closeTimeoutMs = 10_000, tokenTimeoutMs = 10_000 } = options;
  const { maxBatchEvents = 100, maxBatchChars = 131_072 } = options;
  const { maxRetries = Infinity, ...backoff } = options.retry ?? {};
  const closing = new AbortController();
  const { signal } = closing;
  const tokens = createTokenSource(options.token, { clock, timeoutMs: tokenTimeoutMs, signal });
  const { tell, watch, emit } = createNotifier<void, Pick<PublisherOptions, 'onError'>>(logger, options);
  const { topic: calls } = createTRPCClient<UsherRouter>({
    links: [
      httpLink({
        url: createEndpoints(options.url).trpc,
        fetch: createRequest(options, tokens),
      }),
    ],
  });
  /** What waits, by topic: one request of a topic at a time, so that its order holds. Bounded by `maxBufferedEvents`. */
  const lanes = new Map<string, Entry[]>();
  const pending = new Set<Promise<Published>>();
  /** `close()` was called: nothing lingers any more. */
  const leaving = new AbortController();

  /** Sends entries that go together until they are answered for good. */
  const send = async (entries: readonly Entry[]): Promise<void> => {
    const pace = createPace({ random, ...backoff, clock, environment: hostEnvironment });
    const input = batchInput(entries);
    for (;;) {
      try {
        await pace.turn(signal, pace.failures === 0);
        const answer = await within(clock, timeoutMs, signal, (given) =>
          calls.publishMany.mutate(input, { signal: given }),
        );
        const { positions, duplicates, durable } = answer;
        for (const [at, entry] of entries.entries()) {
          entry.settle({ position: positions[at] ?? null, duplicate: duplicates[at] ?? false, durable });
        }
        return;
      } catch (cause) {
        const error = signal.aborted ? closedError() : toUsherError(cause);
        const action = actionOf(error.code);
        if (!/^(new-token|final|try-for-a-while)$/.test(action) && pace.failures < maxRetries) {
          pace.failed(error.retryAfterMs);
          continue;
        }
        if (action !== 'final' || signal.aborted || entries.length === 1) {
          for (const entry of entries) entry.settle(error);
          return;
        }
        // One that cannot be taken must not take the others with it.
        const middle = Math.ceil(entries.length / 2);
        await send(entries.slice(0, middle));
        await send(entries.slice(middle));
        return;
      }
    }
  };

  const run = async (topic: string, lane: Entry[]) => {
    // What comes while a request is under way goes with the next: the busier a topic, the fuller its batches.
    while (lane.length > 0) {
      await pause(clock, lingerMs, leaving.signal);
      await send(lane.splice(0, batchLength(lane, { maxBatchEvents, maxBatchChars })));
    }
    lanes.delete(topic);
  };

  const enter = (entry: Entry) => {
    const { topic } = entry.event;
    const lane = lanes.get(topic);
    if (lane) {
      lane.push(entry);
      return;
    }
    const started = [entry];
    lanes.set(topic, started);
    void run(topic, started);
  };

  const publish = (event: OutgoingEvent) => {
    const promise = new Promise<Published>((resolve, reject) => {
      const keyed = { ...event, idempotencyKey: event.idempotencyKey ?? idempotencyKey() };
      const settle = (outcome: Published | UsherError) => {
        if (!(outcome instanceof UsherError)) return resolve(outcome);
        reject(outcome);
        if (options.onError) tell('onError', outcome, keyed);
        else logger.error('[Usher] An event was given up', { topic: keyed.topic, code: outcome.code });
      };
      try {
        // Here, and not in a batch: what is no JSON is the fault of this event alone.
        const chars = JSON.stringify(event.data ?? {}).length;
        if (leaving.signal.aborted) settle(closedError());
        else if (pending.size >= maxBufferedEvents)
          settle(new UsherError('OVERFLOW', { message: 'The buffer is full' }));
        else enter({ event: keyed, chars, settle });
      } catch (cause) {
        settle(new UsherError('BAD_REQUEST', { message: 'The data is no JSON', cause }));
      }
    });
    const leave = () => {
      pending.delete(promise);
      emit();
    };
    pending.add(promise);
    // Looked at here, so that an event nobody waits for is never an unhandled rejection.
    promise.then(leave, leave);
    return promise;
  };

  const flush = async () => {
    await Promise.allSettled(pending);
  };
  const close = async () => {
    leaving.abort();
    const giveUp = clock.after(closeTimeoutMs, () => closing.abort());
    await flush();
    giveUp();
    closing.abort();
  };
  return {
    publish,
    topic: (name, id) => ({
      publish: (eventName, data, given) => publish({ ...given, topic: `${name}:${id}`, name: eventName, data }),
    }),
    get buffered() {
      return pending.size;
    },
    room: () =>
      new Promise((resolve) => {
        const look = () => {
          if (pending.size > maxBufferedEvents / 2) return;
          stop();
          resolve();
        };
        const stop = watch(look);
        look();
      }),
    flush,
    close,
    [Symbol.asyncDispose]: close,
  };
}
