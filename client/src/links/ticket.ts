import { createWSClient, TRPCClientError, type TRPCLink, type TRPCWebSocketClient, wsLink } from '@trpc/client';
import type { AnyTRPCRouter } from '@trpc/server';
import { observable } from '@trpc/server/observable';
import { type Connection, createConnection } from '../connection.ts';
import type { ConnectionOptions } from '../connection-options.ts';

/** The options of a connection, or one that is shared with other links. */
export type TicketLinkOptions = ConnectionOptions | { readonly connection: Connection };

/** tRPC's WebSocket client, and the state machine that paces it. */
export type TicketedWsClient = TRPCWebSocketClient & { readonly usher: Connection };

const connectionOf = (options: TicketLinkOptions) =>
  'connection' in options ? options.connection : createConnection(options);

/**
 * tRPC's own WebSocket client, for `wsLink`, with a fresh one-time ticket for each attempt to connect and all waiting
 * done by the state machine in `usher`.
 *
 * @example
 * ```ts
 * const client = createTicketedWsClient({ url: 'https://example.com', token });
 * const trpc = createTRPCClient<UsherRouter>({ links: [wsLink({ client })] });
 * ```
 */
export function createTicketedWsClient(options: TicketLinkOptions): TicketedWsClient {
  const usher = connectionOf(options);
  const client = createWSClient({
    // Each attempt waits for its turn in here, and takes its ticket in here: tRPC asks again for each.
    url: usher.nextUrl,
    retryDelayMs: () => 0,
    WebSocket: usher.WebSocket,
  });
  const closeClient = client.close.bind(client);
  usher.watch(({ status }) => {
    // Later than all who watch: tRPC completes what is open, and they have a reason to give.
    if (status === 'closed') queueMicrotask(closeClient);
  });
  client.close = () => {
    // Ends an attempt that waits: tRPC's own close() waits for it.
    usher.close();
    return closeClient();
  };
  return Object.assign(client, { usher });
}

/**
 * A terminating link for subscriptions over a ticketed WebSocket. It connects with the first one, and, unlike `wsLink`,
 * ends subscriptions with the reason when the connection closes for good.
 */
export function ticketLink<TRouter extends AnyTRPCRouter>(options: TicketLinkOptions): TRPCLink<TRouter> {
  const connection = connectionOf(options);
  return (runtime) => {
    let send: ReturnType<TRPCLink<TRouter>> | undefined;
    let requests = 0;
    return ({ op, next }) =>
      observable((observer) => {
        const end = () => {
          const { state } = connection;
          if (state.status !== 'closed') return;
          if (state.error) observer.error(TRPCClientError.from(state.error));
          else observer.complete();
        };
        if (connection.signal.aborted) return end();
        const unwatch = connection.watch(end);
        send ??= wsLink<AnyTRPCRouter>({ client: createTicketedWsClient({ connection }) })(runtime);
        // An id of its own for each try: up to 11.22 it is the id on the wire, where late frames of an earlier try arrive.
        requests += 1;
        const subscription = send({ op: { ...op, id: requests }, next }).subscribe(observer);
        return () => {
          unwatch();
          subscription.unsubscribe();
        };
      });
  };
}
