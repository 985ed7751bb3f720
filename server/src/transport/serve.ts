import type { IncomingMessage } from 'node:http';
import { getWSConnectionHandler } from '@trpc/server/adapters/ws';
import {
  type Code,
  describeError,
  type Principal,
  requestIdKey,
  type UsherContext,
  UsherError,
  type UsherPorts,
  usherRouter,
} from '@usher/contracts';
import type { Logger } from 'pino';
import type { Connection } from './connection.ts';

/** What tRPC hands over of `connectionParams`. */
export type ConnectionParams = Readonly<Record<string, string | undefined>> | null;

export interface ServeOptions {
  readonly ports: UsherPorts;
  readonly log: Logger;
  /** Counts a call, or a whole connection, that was refused. */
  readonly onRefused: (code: Code) => void;
  /**
   * Finishes the handshake of an upgraded connection: claims its ticket, or takes its parameters.
   *
   * @throws UsherError
   */
  readonly authenticate: (connection: Connection, params: ConnectionParams) => Promise<Principal>;
}

type WsHandler = ReturnType<typeof getWSConnectionHandler<typeof usherRouter>>;

/**
 * tRPC's own WebSocket handler over a `Connection`. Frames that come before the context is there wait in tRPC's own
 * `await` of it, bounded by the connection.
 */
export function createServe({ ports, log, authenticate, onRefused }: ServeOptions): (connection: Connection) => void {
  const handler: WsHandler = getWSConnectionHandler({
    // The type asks for a `ws` server that the code never looks at.
    wss: undefined as never,
    router: usherRouter,
    createContext: async ({ res, info }): Promise<UsherContext> => {
      const connection = res as unknown as Connection;
      try {
        const principal = await authenticate(connection, info.connectionParams);
        connection.principal = principal;
        return {
          ports,
          traceId: connection.request.traceId,
          authenticate: async () => principal,
          begin: () => connection.begin(),
          socket: connection,
        };
      } catch (error) {
        connection.markRefused(error instanceof UsherError ? error.reason : 'INTERNAL');
        throw error;
      }
    },
    experimental_encoder: { encode: (data) => JSON.stringify(data), decode },
    onError({ error, path, ctx }) {
      onRefused(describeError(error).reason);
      if (error.code !== 'INTERNAL_SERVER_ERROR') return;
      log.error({ err: error.cause ?? error, path, traceId: ctx?.traceId }, 'A call failed');
    },
  });
  return (connection) => {
    const { url, headers } = connection.request;
    // Only url and headers are read of it [design.md, section 7].
    const request = { url, headers, socket: {} } as unknown as IncomingMessage;
    handler(connection as unknown as Parameters<WsHandler>[0], request);
  };
}

interface MaybeSubscription {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: { input?: unknown };
}

/** JSON, with each subscription's request id left on its input, where the procedure can find it. */
function decode(data: string | ArrayBuffer | Uint8Array): unknown {
  if (typeof data !== 'string') throw new UsherError('BAD_REQUEST', { message: 'Wanted a text frame' });
  const message = JSON.parse(data) as unknown;
  for (const call of Array.isArray(message) ? message : [message]) tagSubscription(call as MaybeSubscription | null);
  return message;
}

function tagSubscription(call: MaybeSubscription | null): void {
  if (call?.method !== 'subscription' || (typeof call.id !== 'number' && typeof call.id !== 'string')) return;
  const input = call.params?.input;
  if (typeof input === 'object' && input !== null)
    (input as { [requestIdKey]?: number | string })[requestIdKey] = call.id;
}
