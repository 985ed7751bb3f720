import type { Code, ConnectionInfo } from '@usher/contracts';

/** One connection of this instance. */
export interface LiveConnection {
  readonly info: ConnectionInfo;
  /** When the credential that opened it was issued, in ms since 1970. */
  readonly issuedAt: number;
  /** `pending` until it is admitted, `closing` once it was told to go. */
  state: 'pending' | 'live' | 'closing';
  /** Why it was told to go. */
  reason: Code | null;
  /** Redis may hold a lease of it. */
  leased: boolean;
  readonly close: (code: Code) => void;
}

export interface Selection {
  readonly userId?: string | undefined;
  readonly sessionId?: string | undefined;
}

/** The connections of this instance, by connection, user and session. Bounded by who adds. */
export interface LiveConnections {
  readonly size: number;
  get(connectionId: string): LiveConnection | undefined;
  add(connection: LiveConnection): void;
  remove(connection: LiveConnection): boolean;
  users(): Iterable<string>;
  /** In the order they came; without a filter, all. */
  select(selection: Selection): Iterable<LiveConnection>;
}

type Index = Map<string, Set<LiveConnection>>;

export function createLiveConnections(): LiveConnections {
  const byId = new Map<string, LiveConnection>();
  const byUser: Index = new Map();
  const bySession: Index = new Map();

  const enter = (index: Index, key: string, connection: LiveConnection): void => {
    const known = index.get(key);
    if (known) known.add(connection);
    else index.set(key, new Set([connection]));
  };

  const leave = (index: Index, key: string, connection: LiveConnection): void => {
    const known = index.get(key);
    known?.delete(connection);
    if (known?.size === 0) index.delete(key);
  };

  return {
    get size() {
      return byId.size;
    },
    get: (connectionId) => byId.get(connectionId),
    add(connection) {
      const { connectionId, userId, sessionId } = connection.info;
      if (byId.has(connectionId))
        throw new TypeError(`Wanted a connection that is not there yet: current value is "${connectionId}"`);
      byId.set(connectionId, connection);
      enter(byUser, userId, connection);
      enter(bySession, sessionId, connection);
    },
    remove(connection) {
      const { connectionId, userId, sessionId } = connection.info;
      if (byId.get(connectionId) !== connection) return false;
      leave(byUser, userId, connection);
      leave(bySession, sessionId, connection);
      return byId.delete(connectionId);
    },
    users: () => byUser.keys(),
    *select({ userId, sessionId }) {
      const found =
        sessionId !== undefined ? bySession.get(sessionId) : userId !== undefined ? byUser.get(userId) : byId.values();
      for (const connection of found ?? []) {
        if (userId === undefined || connection.info.userId === userId) yield connection;
      }
    },
  };
}
