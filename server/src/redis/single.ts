import { createClient, ErrorReply } from 'redis';
import type { RedisScript } from './connection.ts';
import type { LineClient } from './line.ts';

/** What happened to one primary of a cluster; `mended` comes when its channels are subscribed again. */
export type PartChange = 'lost' | 'mended';

export type Dispatch = (message: string, channel: string) => void;

/** One node-redis client, of one server or of a cluster, with what Usher asks of it. */
export interface NodeClient extends LineClient {
  /** Several channels may go into one subscribe: true of one server, not of a cluster, where each has its slot. */
  readonly batches: boolean;
  run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  send(key: string, args: readonly string[]): Promise<unknown>;
  subscribe(channels: readonly string[], dispatch: Dispatch): Promise<void>;
  unsubscribe(channel: string, dispatch: Dispatch): Promise<void>;
  /** One node of a cluster: called for each channel that Redis takes away because its slot has gone elsewhere. */
  onMoved?(listener: (channel: string) => void): void;
  /** A cluster: called when one primary went while the rest goes on, and when it has been replaced or is back. */
  onPart?(listener: (what: PartChange) => void): void;
}

/** EVALSHA, and EVAL once where Redis does not know the script yet: after a restart, a flush or a failover. */
export async function runScript(bySha: () => Promise<unknown>, byText: () => Promise<unknown>): Promise<unknown> {
  try {
    return await bySha();
  } catch (error) {
    if (error instanceof ErrorReply && error.message.startsWith('NOSCRIPT')) return byText();
    throw error;
  }
}

/**
 * node-redis would make an AbortSignal for each command, a tenth of what issuing a ticket costs, and ends with it only
 * what has not left yet; `within` bounds every command, left or not.
 */
export const ownTimeouts = { timeout: 0 } as const;

/**
 * A client that does not come back by itself: the line throws it away and makes another. node-redis' own reconnect waits
 * for ever on a server that accepts and then says nothing, and its offline queue hides that it is away.
 */
export function singleClient(url: string, timeoutMs: number): NodeClient {
  const client = createClient({
    url,
    RESP: 3,
    disableOfflineQueue: true,
    commandOptions: ownTimeouts,
    socket: { connectTimeout: timeoutMs, reconnectStrategy: false },
    maintNotifications: 'disabled',
  });
  let ended: ((cause: unknown) => void) | undefined;
  client.on('error', (cause: unknown) => {
    ended?.(cause);
    ended = undefined;
  });
  /** Answers, and is a primary: one that was made a replica keeps its connections and would serve a past for ever. */
  const check = async (): Promise<void> => {
    const { role } = (await client.hello()) as { readonly role?: unknown };
    if (role === 'replica' || role === 'slave') throw new Error('Redis is a replica');
  };
  return {
    batches: true,
    connect: async () => {
      try {
        await client.connect();
        await check();
      } catch (cause) {
        // Destroyed while its socket was still connecting, node-redis rejects, and keeps the socket when it is there.
        client.destroy();
        throw cause;
      }
    },
    destroy: () => client.destroy(),
    check,
    onEnd(listener) {
      ended = listener;
    },
    run: (script, keys, args) =>
      runScript(
        () => client.evalSha(script.sha, { keys: [...keys], arguments: [...args] }),
        () => client.eval(script.lua, { keys: [...keys], arguments: [...args] }),
      ),
    send: (_key, args) => client.sendCommand([...args]),
    subscribe: (channels, dispatch) => client.sSubscribe([...channels], dispatch),
    unsubscribe: (channel, dispatch) => client.sUnsubscribe(channel, dispatch),
    onMoved(listener) {
      client.on('sharded-channel-moved', (channel: string | Uint8Array) => listener(String(channel)));
    },
  };
}
