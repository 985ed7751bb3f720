import { type Code, limits, type Principal, UsherError } from '@usher/contracts';
import type { Logger } from 'pino';
import { RedisAwayError, type RedisConnection } from '../redis/connection.ts';
import { type Acquired, createConnectionLeases, type Overflow } from './leases.ts';
import { createLiveConnections, type LiveConnection, type Selection } from './live.ts';
import { eachOf } from './pool.ts';
import { createTicker } from './ticker.ts';

export interface PlacesOptions {
  readonly instanceId: string;
  /** `null`: this process is alone. */
  readonly redis: RedisConnection | null;
  readonly log: Logger;
  /** Over all instances. @default 10 */
  readonly maxConnectionsPerUser?: number | undefined;
  /** Above that, refuse the newest or close the oldest. @default 'reject' */
  readonly overflow?: Overflow | undefined;
  /** Most connections of this instance. @default 100000 */
  readonly maxConnections?: number | undefined;
  /** How long the connections of a killed instance count, in ms. @default 60000 */
  readonly leaseMs?: number | undefined;
  /** @default 25000 */
  readonly refreshMs?: number | undefined;
  /** Users whose leases are refreshed at once. @default 100 */
  readonly refreshWidth?: number | undefined;
  /** Longest wait for Redis before this instance decides alone, in ms. @default 500 */
  readonly timeoutMs?: number | undefined;
  /** Longest `retryAfterMs` of a refusal: a connection may end long before its lease. @default 5000 */
  readonly maxRetryAfterMs?: number | undefined;
  /** Told of a connection that was evicted and is not here. */
  readonly onEvictedElsewhere: (connectionId: string) => void;
}

export interface Admission {
  readonly connectionId: string;
  readonly principal: Principal;
  readonly address: string | null;
  /** In ms since 1970. */
  readonly since: number;
  /** When the ticket or token was issued, in ms since 1970: a revocation of its user ends what is older. @default since */
  readonly issuedAt?: number | undefined;
}

export interface ConnectionHandle {
  /** Called at most once, after `admit` has resolved. The caller MUST then release the lease. */
  close(code: Code): void;
}

export interface Lease {
  /** Gives the place back. May be called twice; MUST NOT reject. */
  release(): Promise<void>;
}

/** The connections this instance serves, each with its place under the user's limit. */
export interface Places {
  readonly size: number;
  /** @throws UsherError CONNECTION_LIMIT, DRAINING, or what the connection was shut with meanwhile */
  take(admission: Admission, handle: ConnectionHandle): Promise<Lease>;
  get(connectionId: string): LiveConnection | undefined;
  select(selection: Selection): Iterable<LiveConnection>;
  /** Tells a connection to go; false when it is not there or was told before. */
  shut(connection: LiveConnection | undefined, code: Code): boolean;
  /** Admits no more and gives all leases back; shuts nothing. */
  close(): Promise<void>;
}

export function createPlaces(options: PlacesOptions): Places {
  const { instanceId, redis, log, overflow = 'reject', leaseMs = 60_000, refreshMs = 25_000 } = options;
  const { maxConnectionsPerUser: limit = limits.maxConnectionsPerUser, maxConnections = 100_000 } = options;
  const { refreshWidth = 100, timeoutMs = 500, maxRetryAfterMs = 5_000 } = options;
  const live = createLiveConnections();
  const leases = redis && createConnectionLeases({ redis, limit, overflow, leaseMs, timeoutMs });
  let closed = false;

  const report = (stage: string) => (cause: unknown) => {
    // That Redis is away is said once by its connection.
    if (!(cause instanceof RedisAwayError)) log.warn({ err: cause, stage }, '[Connections] failed');
  };

  const shut = (connection: LiveConnection | undefined, code: Code): boolean => {
    if (!connection || connection.state === 'closing') return false;
    const pending = connection.state === 'pending';
    connection.state = 'closing';
    connection.reason = code;
    // A pending one learns it from take().
    if (pending) return true;
    try {
      connection.close(code);
    } catch (cause) {
      report('close')(cause);
    }
    return true;
  };

  const full = (freeInMs = maxRetryAfterMs): UsherError =>
    new UsherError('CONNECTION_LIMIT', { retryAfterMs: Math.max(1, Math.min(freeInMs, maxRetryAfterMs)) });

  /** The limit as far as this instance sees: all there is without Redis, and the bound while it is away. */
  const leaseHere = (connection: LiveConnection): void => {
    const others = [...live.select({ userId: connection.info.userId })].filter(
      (other) => other !== connection && other.state !== 'closing',
    );
    const over = others.length - limit + 1;
    if (over <= 0) return;
    if (overflow === 'reject') throw full();
    others.sort((one, other) => one.info.since - other.info.since);
    for (const oldest of others.slice(0, over)) shut(oldest, 'CONNECTION_LIMIT');
  };

  const lease = async (connection: LiveConnection): Promise<void> => {
    let acquired: Acquired | null = null;
    if (leases && redis.state === 'ready') {
      connection.leased = true;
      acquired = await leases.acquire(connection.info.userId, connection.info).catch((cause: unknown) => {
        report('acquire')(cause);
        return null;
      });
    }
    if (acquired === null) return leaseHere(connection);
    if (!acquired.ok) {
      connection.leased = false;
      throw full(acquired.freeInMs);
    }
    for (const connectionId of acquired.evicted) {
      const here = live.get(connectionId);
      if (here) shut(here, 'CONNECTION_LIMIT');
      else options.onEvictedElsewhere(connectionId);
    }
  };

  const release = async (connection: LiveConnection): Promise<void> => {
    if (!live.remove(connection) || !connection.leased || !leases || redis.state !== 'ready') return;
    // Where it fails the lease ends by itself.
    await leases.release(connection.info.userId, [connection.info.connectionId]).catch(report('release'));
  };

  const refreshUser = async (userId: string): Promise<void> => {
    const connections = [...live.select({ userId })].filter(({ state }) => state === 'live');
    if (!leases || redis.state !== 'ready' || connections.length === 0) return;
    for (const connection of connections) connection.leased = true;
    const holders = connections.map(({ info }) => info);
    const evicted = await leases.refresh(userId, holders).catch((cause: unknown) => {
      report('refresh')(cause);
      return [];
    });
    for (const connectionId of evicted) shut(live.get(connectionId), 'CONNECTION_LIMIT');
  };

  const refresh = (): Promise<void> => eachOf([...live.users()], refreshWidth, refreshUser);
  const ticker = redis && createTicker({ everyMs: refreshMs, run: refresh, onError: report('refresh') });
  const stopWatching = redis?.onState((state) => {
    // It may have come back empty, or later than the leases lasted.
    if (state === 'ready') ticker?.kick();
  });

  return {
    get size() {
      return live.size;
    },
    get: live.get,
    select: live.select,
    shut,
    async take({ connectionId, principal, address, since, issuedAt = since }, handle) {
      const { userId, sessionId } = principal;
      const connection: LiveConnection = {
        info: { connectionId, instanceId, userId, sessionId, since, address },
        issuedAt,
        state: 'pending',
        reason: null,
        leased: false,
        close: (code) => handle.close(code),
      };
      if (closed) throw new UsherError('DRAINING');
      if (live.size >= maxConnections) throw full();
      // Before the first wait, so that a revocation that comes during it finds the connection.
      live.add(connection);
      try {
        await lease(connection);
        if (connection.reason) throw new UsherError(connection.reason);
      } catch (cause) {
        void release(connection);
        throw cause;
      }
      connection.state = 'live';
      return { release: () => release(connection) };
    },
    async close() {
      closed = true;
      stopWatching?.();
      await ticker?.close();
      await eachOf([...live.users()], refreshWidth, async (userId) => {
        const ids = [...live.select({ userId })].map(({ info }) => info.connectionId);
        if (leases && redis.state === 'ready') await leases.release(userId, ids).catch(report('release'));
      });
    },
  };
}
