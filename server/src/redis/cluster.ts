import { createCluster } from 'redis';
import { type NodeClient, ownTimeouts, runScript } from './single.ts';

/**
 * A Redis Cluster. Its nodes' clients come back by themselves, since only they learn where a slot has gone; the line
 * throws the whole away only when a check finds a primary that does not answer for long.
 */
export function clusterClient(urls: readonly string[], timeoutMs: number): NodeClient {
  const cluster = createCluster({
    rootNodes: urls.map((url) => ({ url })),
    RESP: 3,
    commandOptions: ownTimeouts,
    defaults: {
      ...credentials(urls[0] ?? ''),
      disableOfflineQueue: true,
      maintNotifications: 'disabled',
      socket: {
        connectTimeout: timeoutMs,
        reconnectStrategy: (retries: number) => Math.min(100 * 2 ** retries, 2_000) * (0.5 + Math.random() / 2),
      },
    },
    topologyRefreshOnReconnectionAttemptStrategy: 500,
  });
  // A node's error is not the cluster's: commands to it fail by themselves, and the line's check sees the rest.
  cluster.on('error', () => {});
  return {
    batches: false,
    connect: () => cluster.connect(),
    destroy: () => cluster.destroy(),
    check: () => Promise.all(cluster.masters.map(async (node) => (await cluster.nodeClient(node)).ping())),
    onEnd() {},
    run: (script, keys, args) =>
      runScript(
        () => cluster.evalSha(script.sha, { keys: [...keys], arguments: [...args] }),
        () => cluster.eval(script.lua, { keys: [...keys], arguments: [...args] }),
      ),
    send: (key, args) => cluster.sendCommand(key, false, [...args]),
    subscribe: async (channels, dispatch) => {
      for (const channel of channels) await cluster.sSubscribe(channel, dispatch);
    },
    unsubscribe: async (channel, dispatch) => {
      await cluster.sUnsubscribe(channel, dispatch);
    },
  };
}

/** The connections to discovered nodes take user, password and TLS from the defaults, not from the root urls. */
function credentials(url: string): { username?: string; password?: string; socket?: { tls: true } } {
  const parsed = new URL(url);
  return {
    ...(parsed.username && { username: decodeURIComponent(parsed.username) }),
    ...(parsed.password && { password: decodeURIComponent(parsed.password) }),
  };
}
