import type { Member } from '@usher/contracts';

/** One connection that listens to a topic and says so. */
export interface PresentConnection {
  readonly connectionId: string;
  readonly userId: string;
  /** When it came, in ms since 1970. */
  readonly since: number;
  /** JSON that others see; of a user's connections, what the last that came brought. */
  readonly info?: string | undefined;
}

/** JSON `{"joined": Member[], "left": Member[]}`; a member that left has no connections. */
export type PresenceListener = (change: string) => void;

/**
 * Who is there, per topic. A connection has a lease and leaves when nobody prolongs it; a user is a member while one of
 * his connections is there.
 *
 * A change of who is a member MUST be told once, to all who listen on all instances, by the step that makes it: a user
 * whose connections change hands in one step neither leaves nor joins.
 * Every method MUST settle within the store's timeout, and rejects with `RedisAwayError` while the store is away.
 */
export interface PresenceStore {
  /** Whether the store can be asked; read before each use, it costs nothing. */
  readonly ready: boolean;
  /**
   * Gives each connection a lease, or prolongs it, and ends the leases of the topic whose time is over. MUST leave out
   * what exceeds the most connections a topic takes. Resolves to when the next lease of the topic ends, in ms from now;
   * `null` when there is none.
   */
  hold(topic: string, connections: readonly PresentConnection[]): Promise<number | null>;
  /** MUST pass over connections that are not there. */
  leave(topic: string, connectionIds: readonly string[]): Promise<void>;
  /** The members, first come first. MUST NOT show one whose last lease is over. */
  list(topic: string): Promise<Member[]>;
  /** Resolves when changes will be heard; when it rejects, they will be heard once the store is back. */
  listen(topic: string, listener: PresenceListener): Promise<void>;
  unlisten(topic: string, listener: PresenceListener): void;
  /** Called when changes may have been missed: the store, or the way they come, was away and is back. */
  onReturn(listener: () => void): () => void;
}

export interface PresenceLimits {
  /** How long a connection stays that nobody prolongs, in ms. @default 60000 */
  readonly leaseMs?: number | undefined;
  /** Most connections of one topic; those above are not shown. @default 1000 */
  readonly maxConnections?: number | undefined;
}

export const presenceLimits = Object.freeze({ leaseMs: 60_000, maxConnections: 1_000 });
