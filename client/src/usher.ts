import { createTRPCClient, httpLink, splitLink, type TRPCClient } from '@trpc/client';
import type { BoxedTopics, ResetReason, TopicDefinition, UsherRouter } from '@usher/contracts';
import { checkOptions } from './check-options.ts';
import { type Connection, type ConnectionOptions, createConnection } from './connection.ts';
import { type PollingOptions, pollingFallbackLink } from './links/polling.ts';
import { type BackoffRetryOptions, backoffRetryLink } from './links/retry.ts';
import { ticketLink } from './links/ticket.ts';
import { quietLogger } from './logger.ts';
import { createNotifier } from './notifier.ts';
import { authorization, fetchOf } from './request.ts';
import type { ConnectionHandlers, ConnectionState } from './state.ts';
import { createTopic, type Topic } from './topic.ts';

export interface UsherHandlers extends ConnectionHandlers {
  /** A subscriber of `topic` missed something, and was told. */
  readonly onReset?: (topic: string, reason: ResetReason) => void;
  /** Events of `topic` may come late. */
  readonly onDegraded?: (topic: string) => void;
}

export interface UsherOptions extends Omit<ConnectionOptions, 'on'>, UsherHandlers {
  /** How topics are polled while there is no WebSocket. */
  readonly polling?: PollingOptions;
  /** Retries of single calls and subscriptions that were answered with an error. */
  readonly calls?: Omit<BackoffRetryOptions, 'tokens' | 'clock' | 'random'>;
}

export type Topics = Readonly<Record<string, TopicDefinition>>;

export interface Usher<TTopics extends Topics = BoxedTopics> {
  /** The plain tRPC client: subscriptions over the WebSocket, everything else over HTTP. */
  readonly trpc: TRPCClient<UsherRouter>;
  readonly state: ConnectionState;
  /** Tells of each change of `state`; the answer stops it. */
  watch(listener: (state: ConnectionState) => void): () => void;
  topic<TName extends keyof TTopics & string>(name: TName, id: string): Topic<TTopics[TName]>;
  /** Moves to a second connection with a new token, without a gap, and leaves the first. */
  reauthenticate(): void;
  /** Ends all subscriptions, cancels every wait, and closes the connection. */
  close(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The client people keep. It connects with the first subscription, and stays connected until `close()`.
 *
 * @example
 * ```ts
 * const usher = createUsher({ url: 'https://example.com', token: () => session.accessToken });
 * for await (const item of usher.topic('job', '42').subscribe()) console.log(item);
 * ```
 * @throws TypeError for options that cannot be
 */
export function createUsher<TTopics extends Topics = BoxedTopics>(options: UsherOptions): Usher<TTopics> {
  checkOptions(options);
  const { logger = quietLogger, random = Math.random } = options;
  const connection: Connection = createConnection({ ...options, on: options });
  const { clock, tokens, endpoints, signal } = connection;
  const { tell } = createNotifier<void, UsherHandlers>(logger, options);
  const trpc = createTRPCClient<UsherRouter>({
    links: [
      backoffRetryLink({ ...options.retry, maxRetries: 3, ...options.calls, tokens, clock, random }),
      pollingFallbackLink({ ...options.polling, connection }),
      splitLink({
        condition: ({ type }) => type === 'subscription',
        true: ticketLink({ connection }),
        false: httpLink({
          url: endpoints.trpc,
          fetch: fetchOf(options),
          headers: async () => authorization(await tokens.get()),
        }),
      }),
    ],
  });

  return {
    trpc,
    get state() {
      return connection.state;
    },
    watch: connection.watch,
    topic(name, id) {
      const topic = `${name}:${id}`;
      return createTopic(
        {
          trpc,
          clock,
          random,
          logger,
          closed: signal,
          told(item) {
            if (item.type === 'reset') tell('onReset', topic, item.reason);
            if (item.type === 'degraded') tell('onDegraded', topic);
          },
        },
        name,
        id,
      );
    },
    reauthenticate: connection.move,
    close: () => connection.close(),
    [Symbol.asyncDispose]: async () => connection.close(),
  };
}
