import type { Logger } from 'pino';
import { ClientClosedError, ClientOfflineError, ErrorReply } from 'redis';
import { clusterClient } from './cluster.ts';
import { RedisAwayError, type RedisCallOptions, type RedisConnection, type RedisState } from './connection.ts';
import { createLine, type Line, within } from './line.ts';
import { type NodeClient, singleClient } from './single.ts';
import { createSubscriptions } from './subscriptions.ts';

export interface ConnectOptions {
  /** `redis://` or `rediss://`; more than one means a Redis Cluster. */
  readonly urls: readonly string[];
  /** @default 'usher:' */
  readonly keyPrefix?: string;
  readonly log: Logger;
  /** How long a connect, and a command without a timeout of its own, may take. @default 5000 */
  readonly timeoutMs?: number;
  /** Told how long each command took and whether it was answered. */
  readonly onCommand?: (seconds: number, answered: boolean) => void;
}

// Redis' own words for "not now": what it says while it loads, follows another, is full or has lost its cluster.
const awayReply =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|OOM|BUSY|UNBLOCKED|MOVED|ASK)\b/;

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Opens Redis in the background; the answer is there at once, and `away` until Redis is. */
export function connectRedis(options: ConnectOptions): RedisConnection {
  const { log } = options;
  const timeoutMs = options.timeoutMs ?? 5_000;
  const make = (): NodeClient =>
    options.urls.length > 1
      ? clusterClient({ urls: options.urls, timeoutMs, log })
      : singleClient(options.urls[0] ?? '', timeoutMs);
  const stateListeners = new Set<(state: RedisState) => void>();
  const deliveryListeners = new Set<(state: RedisState) => void>();
  const partListeners = new Set<() => void>();
  const tell = (listeners: ReadonlySet<(state: RedisState) => void>, state: RedisState): void => {
    for (const listener of [...listeners]) listener(state);
  };
  const makeCommands = (): NodeClient => {
    const client = make();
    client.onPart?.((what) => {
      if (commands.client !== client) return;
      // The new primary may lack what the old one had taken: who keeps something there writes it again.
      if (what === 'mended') tell(stateListeners, 'ready');
      else for (const listener of [...partListeners]) listener();
    });
    return client;
  };
  const makeDelivery = (): NodeClient => {
    const client = make();
    client.onPart?.((what) => {
      if (what === 'mended') void mended(client);
    });
    return client;
  };

  const subscriptions = createSubscriptions({ log, line: () => delivery, timeoutMs });
  const commands = createLine({ name: 'commands', make: makeCommands, log, connectTimeoutMs: timeoutMs });
  commands.onState((state) => tell(stateListeners, state));
  const delivery: Line<NodeClient> = createLine({
    name: 'delivery',
    make: makeDelivery,
    log,
    connectTimeoutMs: timeoutMs,
    prepare: subscriptions.renew,
  });
  delivery.onState((state) => {
    if (state === 'ready') void subscriptions.settleAll();
    tell(deliveryListeners, state);
  });
  /** A primary was replaced: what it had not delivered is looked for, as after every absence. */
  const mended = async (client: NodeClient): Promise<void> => {
    if (delivery.client !== client) return;
    await subscriptions.settleAll();
    if (delivery.client === client) tell(deliveryListeners, 'ready');
  };

  /** What a failed command means: an answer from Redis stays what it is, anything else is "away". */
  const failed = (cause: unknown): never => {
    if (cause instanceof RedisAwayError) throw cause;
    if (cause instanceof ErrorReply) {
      if (!awayReply.test(cause.message)) throw cause;
      // A primary that was made a replica keeps its connections: the check finds that out and lets go.
      if (cause.message.startsWith('READONLY')) commands.suspect();
      throw new RedisAwayError(`Redis refuses: ${cause.message.slice(0, 120)}`, { ambiguous: false, cause });
    }
    commands.suspect();
    const sent = !(cause instanceof ClientClosedError || cause instanceof ClientOfflineError);
    throw new RedisAwayError('The connection to Redis was lost before the answer', { ambiguous: sent, cause });
  };

  const call = async (
    send: (client: NodeClient) => Promise<unknown>,
    callOptions?: RedisCallOptions,
  ): Promise<unknown> => {
    const client = commands.client;
    if (client === null) throw new RedisAwayError('Redis is not ready', { ambiguous: false });
    const waitMs = callOptions?.timeoutMs ?? timeoutMs;
    const startedAt = performance.now();
    let answered = false;
    try {
      const answer = await within(send(client), waitMs, () => {
        commands.suspect();
        return new RedisAwayError(`Redis gave no answer within ${waitMs} ms`, { ambiguous: true });
      });
      answered = true;
      return answer;
    } catch (cause) {
      answered = cause instanceof ErrorReply;
      return failed(cause);
    } finally {
      options.onCommand?.((performance.now() - startedAt) / 1_000, answered);
    }
  };

  return {
    get state() {
      return commands.state;
    },
    get delivery() {
      return delivery.state;
    },
    keyPrefix: options.keyPrefix ?? 'usher:',
    run: (script, keys, args, callOptions) => call((client) => client.run(script, keys, args), callOptions),
    send: (key, args, callOptions) => call((client) => client.send(key, args), callOptions),
    subscribe: subscriptions.add,
    unsubscribe: subscriptions.remove,
    resubscribe: subscriptions.again,
    onState: (listener) => listen(stateListeners, listener),
    onDelivery: (listener) => listen(deliveryListeners, listener),
    onPartLost: (listener) => listen(partListeners, listener),
    restartDelivery: (reason) => delivery.restart(reason),
    async close() {
      commands.close();
      delivery.close();
      for (const listeners of [stateListeners, deliveryListeners, partListeners]) listeners.clear();
      subscriptions.clear();
    },
  };
}
