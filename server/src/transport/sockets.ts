import { codes, UsherError } from '@usher/contracts';
import type { Metrics } from '../metrics/metrics.ts';
import { Connection, type ConnectionHost, type ConnectionLimits, type UpgradeRequest } from './connection.ts';

export interface SocketsOptions {
  readonly limits: ConnectionLimits;
  readonly serve: (connection: Connection) => void;
  readonly metrics: Metrics;
  readonly heartbeatIntervalMs: number;
  readonly pongTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly connectionParamsTimeoutMs: number;
  readonly maxUnauthenticatedSockets: number;
  /** A socket whose other end has not answered the close by then is let go of. @default 5000 */
  readonly closeTimeoutMs?: number;
  /** An upgrade that has not become an open socket by then is given up. @default 10000 */
  readonly openTimeoutMs?: number;
  /** Upgrades under way. @default 10000 */
  readonly maxHandshakes?: number;
  /** A client is asked to move this long before its right ends. @default 30000 */
  readonly renewBeforeMs?: number;
  /** How often every connection is looked at. @default 1000 */
  readonly sweepIntervalMs?: number;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** All connections of this instance, and the one timer that watches them. */
export interface Sockets {
  readonly all: ReadonlySet<Connection>;
  /** @throws UsherError CONNECTION_LIMIT when too many are on their way, or have not said who they are */
  make(connectionId: string, request: UpgradeRequest): Connection;
  /** A frame was not taken at once by everybody: remembers by whom, so that a cut that follows is counted as what it is. */
  noteBehind(): void;
  /** Told when a connection has gone. */
  onClosed(listener: () => void): void;
  close(): void;
}

/** While somebody is behind, all are looked at this often at most. */
const noteEveryMs = 100;

/** Tells a client of 11.25 to open its next connection before it leaves this one. */
export const reconnectFrame = '{"id":null,"method":"reconnect"}';

export function createSockets(options: SocketsOptions): Sockets {
  const now = options.now ?? Date.now;
  const random = options.random ?? Math.random;
  const renewBeforeMs = options.renewBeforeMs ?? 30_000;
  const sweepIntervalMs = options.sweepIntervalMs ?? 1_000;
  const closeTimeoutMs = options.closeTimeoutMs ?? 5_000;
  const openTimeoutMs = options.openTimeoutMs ?? 10_000;
  const maxHandshakes = options.maxHandshakes ?? 10_000;
  const { metrics } = options;
  const all = new Set<Connection>();
  /** Not open yet; Deno tells nothing of a client that leaves during its upgrade, whose place would be taken for ever. */
  const opening = new Set<Connection>();
  const asked = new WeakSet<Connection>();
  const closedListeners = new Set<() => void>();
  /** Sockets that announced parameters and have not sent them. */
  const strangers = new Set<Connection>();

  const host: ConnectionHost = {
    limits: options.limits,
    now,
    random,
    serve: options.serve,
    opened(connection) {
      opening.delete(connection);
      all.add(connection);
      metrics.connections.set(all.size);
    },
    refused: (code) => metrics.refusals.labels(code).inc(),
    closed(connection, code) {
      strangers.delete(connection);
      opening.delete(connection);
      if (!all.delete(connection)) return;
      metrics.connections.set(all.size);
      metrics.connectionsClosed.labels(String(code)).inc();
      const wasStuck = code === 1006 && connection.stuckSince > 0;
      if (wasStuck || code === codes.SLOW_CONSUMER.close) metrics.slowConsumers.inc();
      for (const listener of closedListeners) listener();
    },
  };

  let notedAt = 0;
  /** Bun cuts who is behind within the same burst, long before the next sweep would see it. */
  const noteBehind = (): void => {
    const at = now();
    if (at - notedAt < noteEveryMs) return;
    notedAt = at;
    for (const connection of all) if (connection.isOpen) watchWrites(connection, at);
  };

  const heartbeat = (connection: Connection, at: number): void => {
    if (connection.askedAt > 0) {
      if (at - connection.askedAt >= options.pongTimeoutMs) connection.terminate();
    } else if (at - connection.heardAt >= options.heartbeatIntervalMs) {
      connection.askedAt = at;
      connection.send('PING');
    }
  };

  const watchWrites = (connection: Connection, at: number): void => {
    if (connection.bufferedBytes === 0) connection.stuckSince = 0;
    else if (connection.stuckSince === 0) connection.stuckSince = at;
    // `drain` sets it back: bytes that lie here for this long belong to a reader that has stopped.
    else if (at - connection.stuckSince >= options.writeTimeoutMs) connection.terminate();
  };

  const watchRight = (connection: Connection, at: number): void => {
    const { principal } = connection;
    if (principal === null) {
      const late = at - connection.since >= options.connectionParamsTimeoutMs;
      if (connection.request.awaitsParams && late) connection.refuse(new UsherError('UNAUTHORIZED'));
      return;
    }
    if (principal.expiresAt === null) return;
    if (at >= principal.expiresAt) connection.refuse(new UsherError('TOKEN_EXPIRED'), 0);
    else if (!asked.has(connection)) {
      // A right shorter than the notice is renewed in its last fifth, not the moment it begins; a fifth that is shorter than
      // the time between two looks would be passed over.
      const life = principal.expiresAt - connection.since;
      const notice = Math.min(renewBeforeMs, Math.max(life / 5, Math.min(life / 2, 1.5 * sweepIntervalMs)));
      if (at < principal.expiresAt - notice) return;
      // Once a connection: older clients answer a second one with a second socket [trpc-wire.md, section 1.2].
      asked.add(connection);
      connection.send(reconnectFrame);
    }
  };

  const sweep = setInterval(() => {
    const at = now();
    for (const connection of strangers) if (connection.principal !== null) strangers.delete(connection);
    for (const connection of opening) if (at - connection.since >= openTimeoutMs) connection.close(1006);
    for (const connection of all) {
      if (!connection.isOpen) {
        if (at - connection.endedAt >= closeTimeoutMs) connection.abandon();
        continue;
      }
      heartbeat(connection, at);
      watchWrites(connection, at);
      watchRight(connection, at);
    }
  }, sweepIntervalMs);

  return {
    all,
    make(connectionId, request) {
      if (opening.size >= maxHandshakes) {
        throw new UsherError('CONNECTION_LIMIT', { message: 'Too many upgrades are under way', retryAfterMs: 1_000 });
      }
      const connection = new Connection(connectionId, request, host);
      if (request.awaitsParams) {
        for (const stranger of strangers) if (stranger.principal !== null) strangers.delete(stranger);
        if (strangers.size >= options.maxUnauthenticatedSockets) {
          throw new UsherError('CONNECTION_LIMIT', {
            message: 'Too many sockets wait for their parameters',
            retryAfterMs: options.connectionParamsTimeoutMs,
          });
        }
        strangers.add(connection);
      }
      opening.add(connection);
      return connection;
    },
    noteBehind,
    onClosed(listener) {
      closedListeners.add(listener);
    },
    close() {
      clearInterval(sweep);
      for (const connection of all) connection.terminate();
    },
  };
}
