import { createTRPCClient, httpLink, splitLink, type TRPCClient } from '@trpc/client';
import type { BoxedTopics, TopicDefinition, UsherRouter } from '@usher/contracts';
import { checkOptions } from './check-options.ts';
import { type Connection, createConnection } from './connection.ts';
import type { ConnectionOptions } from './connection-options.ts';
import { type PollingOptions, pollingFallbackLink } from './links/polling.ts';
import { type BackoffRetryOptions, backoffRetryLink } from './links/retry.ts';
import { ticketLink } from './links/ticket.ts';
import type { ConnectionState, UsherHandlers } from './state.ts';
import { createTopic, type Topic } from './topic.ts';

export interface UsherOptions extends Omit<ConnectionOptions, 'on'>, UsherHandlers {
  /** How topics are polled while there is no WebSocket. */
  readonly polling?: PollingOptions;
  /** Retries of single calls and subscriptions that were answered with an error. */
  readonly calls?: Omit<BackoffRetryOptions, 'clock' | 'random'>;
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
  const { retry, breaker, heartbeat, fallback, ticket, polling, calls } = options;
  checkOptions(options, retry, breaker, heartbeat, fallback, ticket, polling, calls);
  const connection: Connection = createConnection({ ...options, on: options });
  const { clock, random, request, endpoints } = connection;
  const trpc = createTRPCClient<UsherRouter>({
    links: [
      backoffRetryLink({ ...retry, maxRetries: 3, ...calls, clock, random }),
      pollingFallbackLink({ ...polling, connection }),
      splitLink({
        condition: ({ type }) => type === 'subscription',
        true: ticketLink({ connection }),
        false: httpLink({ url: endpoints.trpc, fetch: request }),
      }),
    ],
  });

  return {
    trpc,
    get state() {
      return connection.state;
    },
    watch: connection.watch,
    topic: (name, id) => createTopic({ trpc, connection }, name, id),
    reauthenticate: connection.move,
    close: () => connection.close(),
    [Symbol.asyncDispose]: async () => connection.close(),
  };
}
