import type { Logger } from 'pino';
import { ClientOfflineError, ErrorReply } from 'redis';
import { createClusterChannels } from './cluster-channels.ts';
import { createLine, type Line } from './line.ts';
import { type NodeClient, type PartChange, singleClient } from './single.ts';
import { parseSlots, type SlotRange, slotCount, slotOf } from './slots.ts';
import { answered, askSlots, nodeUrl } from './topology.ts';

export interface ClusterClientOptions {
  /** Nodes that are asked first; the others are learned from them. */
  readonly urls: readonly string[];
  readonly timeoutMs: number;
  readonly log: Logger;
}

/** How often the nodes are asked who has which slot: while all answer, and while one does not. */
const refreshMs = { whole: 2_000, broken: 250 } as const;

/** A primary that went is looked for often: its replica has the slots within seconds. */
const retryDelaysMs = [250, 500, 1_000, 2_000];

/** After MOVED a slot's new primary is waited for this long. */
const newPrimaryMs = 1_000;

/** Times one command follows a slot that is on its way. */
const maxRedirects = 5;

/**
 * A Redis Cluster: one line for each primary. A primary that is away takes the topics of its slots with it and nobody
 * else's; node-redis' own cluster client waits for ever on it, and loses sharded subscriptions when it is replaced.
 */
export function clusterClient({ urls, timeoutMs, log }: ClusterClientOptions): NodeClient {
  const first = urls[0] ?? '';
  /** By url. */
  const lines = new Map<string, Line<NodeClient>>();
  /** Had no slots when last looked: closed if that stays so, after what was asked of them is answered. */
  const leaving = new Set<string>();
  /** The url of each slot's primary. */
  let owners: readonly (string | undefined)[] = [];
  /** What they were made of. */
  let map = '';
  let refreshing: Promise<void> | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onPart: ((what: PartChange) => void) | undefined;
  let closed = false;
  const waiting = new Set<() => void>();

  const ownerOf = (key: string): Line<NodeClient> | undefined => {
    const url = owners[slotOf(key)];
    return url === undefined ? undefined : lines.get(url);
  };
  const primaries = (): Line<NodeClient>[] => [...lines].filter(([url]) => !leaving.has(url)).map(([, line]) => line);
  const isWhole = (): boolean => primaries().every((line) => line.state === 'ready');
  const isThere = (): boolean => primaries().some((line) => line.state === 'ready');

  /** Resolves when `is` is true, or after that long, or at the end. */
  const until = async (is: () => boolean, ms: number): Promise<void> => {
    if (is() || closed) return;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (is() || closed) done();
      };
      const done = (): void => {
        clearTimeout(late);
        waiting.delete(look);
        resolve();
      };
      const late = setTimeout(done, ms);
      waiting.add(look);
    });
  };
  const wake = (): void => {
    for (const look of [...waiting]) look();
  };

  const channels = createClusterChannels({
    clientOf: (channel) => ownerOf(channel)?.client ?? null,
    restart: (channel, client) => ownerOf(channel)?.restart('A subscription was not confirmed', client),
    timeoutMs: Math.ceil(timeoutMs / 2),
    log,
  });

  const open = (url: string): Line<NodeClient> => {
    const make = (): NodeClient => {
      const client = singleClient(url, timeoutMs);
      client.onMoved?.((channel) => {
        channels.lost(channel, client);
        void refresh();
      });
      return client;
    };
    const name = `cluster ${new URL(url).host}`;
    const line = createLine({ name, make, log, connectTimeoutMs: timeoutMs, checkIntervalMs: 1_000, retryDelaysMs });
    line.onState((state) => {
      wake();
      if (state === 'ready') channels.settle(true);
      else {
        onPart?.('lost');
        void refresh();
      }
    });
    return line;
  };

  const adopt = (found: readonly SlotRange[]): void => {
    const now = JSON.stringify(found);
    const changed = now !== map;
    map = now;
    const urlOf = new Map(found.map((range) => [range, nodeUrl(first, range.host, range.port)]));
    if (changed) {
      const next = new Array<string | undefined>(slotCount);
      for (const [{ from, to }, url] of urlOf) next.fill(url, from, to + 1);
      owners = next;
    }
    const primaries = new Set(urlOf.values());
    for (const url of primaries) {
      leaving.delete(url);
      if (!lines.has(url)) lines.set(url, open(url));
    }
    for (const [url, line] of lines) {
      if (primaries.has(url)) continue;
      if (leaving.has(url)) {
        line.close();
        lines.delete(url);
        leaving.delete(url);
      } else leaving.add(url);
    }
    if (changed || channels.isBehind) channels.settle(false);
  };

  const ask = async (): Promise<readonly SlotRange[]> => {
    let cause: unknown;
    for (const [url, line] of lines) {
      if (line.client === null) continue;
      try {
        return parseSlots(await answered(line.client.send('', ['CLUSTER', 'SLOTS'])), new URL(url).hostname);
      } catch (error) {
        cause = error;
      }
    }
    for (const url of urls) {
      if (closed) break;
      try {
        return await askSlots(url);
      } catch (error) {
        cause = error;
      }
    }
    throw new Error('No node of the Redis Cluster answers', { cause });
  };

  /** MUST NOT reject once the client is connected: it is asked for from everywhere. */
  const refresh = (): Promise<void> => {
    refreshing ??= ask()
      .then((found) => {
        if (!closed && found.length > 0) adopt(found);
      })
      .catch((err: unknown) => log.debug({ err }, '[Redis] the slots of the cluster are not known'))
      .finally(() => {
        refreshing = null;
        clearTimeout(timer);
        if (!closed) timer = setTimeout(refresh, isWhole() ? refreshMs.whole : refreshMs.broken);
      });
    return refreshing;
  };

  const askOther = async <T>(
    address: string,
    use: (client: NodeClient) => Promise<T>,
    prepare?: (client: NodeClient) => Promise<unknown>,
  ): Promise<T> => {
    const at = address.lastIndexOf(':');
    const url = nodeUrl(first, address.slice(0, at) || new URL(first).hostname, Number(address.slice(at + 1)));
    const client = lines.get(url)?.client ?? null;
    if (client === null) throw new ClientOfflineError();
    await prepare?.(client);
    // Both leave in one turn: ASKING holds for the very next command.
    const [, answer] = await Promise.all([client.send('', ['ASKING']), use(client)]);
    return answer;
  };

  /** `prepare` runs where a slot is about to go: one ASKING does not hold for a script's second try. */
  const routed = async <T>(
    key: string,
    use: (client: NodeClient) => Promise<T>,
    prepare?: (client: NodeClient) => Promise<unknown>,
  ): Promise<T> => {
    for (let redirects = 0; ; redirects += 1) {
      const client = ownerOf(key)?.client ?? null;
      if (client === null) throw new ClientOfflineError();
      try {
        return await use(client);
      } catch (cause) {
        if (!(cause instanceof ErrorReply) || redirects >= maxRedirects) throw cause;
        const [kind, , address = ''] = cause.message.split(' ');
        if (kind === 'ASK') return await askOther(address, use, prepare);
        if (kind !== 'MOVED') throw cause;
        // Whoever was asking when the slot moved may have been told the past.
        await refresh();
        if (ownerOf(key)?.client === client) await refresh();
        await until(() => (ownerOf(key)?.client ?? null) !== null, newPrimaryMs);
      }
    }
  };

  return {
    batches: false,
    connect: async () => {
      await refresh();
      if (owners.length === 0) throw new Error('No node of the Redis Cluster answers');
      // A cluster that has lost a primary is still one: the others must not wait for it.
      await until(isWhole, Math.min(newPrimaryMs, timeoutMs / 2));
      await until(isThere, timeoutMs);
      if (!isThere()) throw new Error('No primary of the Redis Cluster answers');
    },
    destroy() {
      closed = true;
      clearTimeout(timer);
      channels.close();
      for (const line of lines.values()) line.close();
      lines.clear();
      wake();
    },
    // Not one primary answering is what "away" means; each one's own line finds out about it.
    check: async () => {
      for (const line of primaries()) line.suspect();
      await until(isThere, timeoutMs * 2);
    },
    onEnd() {},
    onPart(listener) {
      onPart = listener;
      channels.onMended(() => listener('mended'));
    },
    run: (script, keys, args) =>
      routed(
        keys[0] ?? '',
        (client) => client.run(script, keys, args),
        (client) => client.send('', ['SCRIPT', 'LOAD', script.lua]),
      ),
    send: (key, args) => routed(key, (client) => client.send(key, args)),
    subscribe: async (wanted, dispatch) => {
      await Promise.all(
        wanted.map((channel) => routed(channel, (client) => channels.subscribe(client, channel, dispatch))),
      );
    },
    unsubscribe: channels.unsubscribe,
  };
}
