import { type PresencePort, type Principal, UsherError } from '@usher/contracts';
import type { Logger } from 'pino';
import { eachOf } from '../connections/pool.ts';
import { createTicker } from '../connections/ticker.ts';
import { RedisAwayError } from '../redis/connection.ts';
import { Room } from './room.ts';
import type { PresenceStore } from './store.ts';

export interface PresenceOptions {
  readonly store: PresenceStore;
  /** Lets a caller read a topic, or throws. */
  readonly authorize: (principal: Principal, topic: string) => Promise<void>;
  readonly log: Logger;
  /**
   * Called with a change, as JSON `{joined, left}`, that this instance's subscribers missed while changes could not
   * come; all others reach them by the topic's live channel.
   */
  readonly onMissed?: (topic: string, change: string) => void;
  /** @default 25000 */
  readonly refreshMs?: number;
  /** How exactly a refresh, or the end of a dead instance's lease, is met, in ms. @default 250 */
  readonly tickMs?: number;
  /** How soon a failed refresh is tried again, in ms. @default 1000 */
  readonly retryMs?: number;
  /** Topics refreshed at once. @default 50 */
  readonly refreshWidth?: number;
  /** Longest JSON of a connection's info. @default 1024 */
  readonly maxInfoLength?: number;
  /** @default Date.now */
  readonly now?: () => number;
  /** @default Math.random */
  readonly random?: () => number;
}

export interface Entering {
  readonly connectionId: string;
  readonly userId: string;
  /** Shown to others. */
  readonly info?: unknown;
}

export interface Entered {
  /** Who is there, as JSON `Member[]`: to be told before any change that comes later. */
  readonly members: string;
  /** May be called twice. */
  exit(): void;
}

/** Who is where, from this instance's view: holds the leases of its connections and ends those of dead instances. */
export interface Presence extends PresencePort {
  /**
   * Makes a connection a member of a topic; one that enters twice leaves when it has left twice. While the store is
   * away it is made one later. MUST NOT be called before the subscriber hears the topic's channel. Does not reject but
   * for a caller's mistake.
   *
   * @throws UsherError BAD_REQUEST when its info is too long
   */
  enter(topic: string, connection: Entering): Promise<Entered>;
  /** Topics with members of this instance. */
  readonly size: number;
  /** Takes all members of this instance out and ends what runs. */
  close(): Promise<void>;
}

/** How long after a lease's end it is looked for, in ms: Redis counts whole ms. */
const afterEndMs = 10;

export function createPresence(options: PresenceOptions): Presence {
  const { store, authorize, log, onMissed = () => {}, refreshMs = 25_000, tickMs = 250, retryMs = 1_000 } = options;
  const { refreshWidth = 50, maxInfoLength = 1_024, now = Date.now, random = Math.random } = options;
  // Bounded by the subscriptions of this instance: a room goes with its last connection.
  const rooms = new Map<string, Room>();
  let closed = false;

  const report = (stage: string, cause: unknown): void => {
    // That Redis is away is said once by its connection.
    if (!(cause instanceof RedisAwayError)) log.warn({ err: cause, stage }, '[Presence] failed');
  };

  const roomOf = (topic: string): Room => {
    const known = rooms.get(topic);
    if (known) return known;
    const room = new Room({ topic, store, onMissed });
    room.dueAt = now() + refreshMs;
    rooms.set(topic, room);
    return room;
  };

  /** Due in so long, or earlier. */
  const dueIn = (room: Room, ms: number): void => {
    room.dueAt = Math.min(room.dueAt, now() + ms);
  };

  const untilDue = (nextEndMs: number | null): number =>
    Math.min(refreshMs * (1 - random() / 10), (nextEndMs ?? refreshMs) + afterEndMs);

  const refresh = async (room: Room): Promise<void> => {
    // Not again by the next tick while this one waits.
    room.dueAt = Number.POSITIVE_INFINITY;
    try {
      const nextEndMs = await store.hold(room.topic, room.connections);
      await room.complete();
      dueIn(room, untilDue(nextEndMs));
    } catch (cause) {
      report('refresh', cause);
      dueIn(room, retryMs);
    }
  };

  const tick = async (): Promise<void> => {
    if (!store.ready) return;
    const at = now();
    const ready = [...rooms.values()].filter((room) => room.dueAt <= at);
    await eachOf(ready, refreshWidth, async (room) => {
      if (rooms.get(room.topic) === room) await refresh(room);
    });
  };

  const ticker = createTicker({ everyMs: tickMs, run: tick, onError: (cause) => report('tick', cause) });
  const stopWatching = store.onReturn(() => {
    for (const room of rooms.values()) {
      room.markStale();
      dueIn(room, random() * retryMs);
    }
  });

  const exit = (room: Room, connectionId: string): void => {
    const gone = room.exit(connectionId);
    if (!gone) return;
    if (room.isEmpty) {
      rooms.delete(room.topic);
      room.leave();
    }
    // Where it fails the lease ends by itself.
    if (store.ready) store.leave(room.topic, [connectionId]).catch((cause: unknown) => report('leave', cause));
    else room.tellOfExit(gone.userId);
  };

  return {
    get size() {
      return rooms.size;
    },
    async enter(topic, { connectionId, userId, info }) {
      const infoJson = info === undefined ? undefined : JSON.stringify(info);
      if (infoJson !== undefined && infoJson.length > maxInfoLength) {
        throw new UsherError('BAD_REQUEST', { message: `Wanted info of at most ${maxInfoLength} characters` });
      }
      if (closed) return { members: '[]', exit() {} };
      const room = roomOf(topic);
      const connection = { connectionId, userId, since: now(), info: infoJson };
      const first = room.enter(connection);
      try {
        if (first) {
          const nextEndMs = await store.hold(topic, [connection]);
          dueIn(room, untilDue(nextEndMs));
        }
        await room.complete();
      } catch (cause) {
        report('enter', cause);
        dueIn(room, retryMs);
        room.tellOfEntry(connection);
      }
      let inside = true;
      return {
        members: JSON.stringify(room.show()),
        exit() {
          if (inside) exit(room, connectionId);
          inside = false;
        },
      };
    },
    async list(principal, { topic }) {
      await authorize(principal, topic);
      try {
        return { members: await store.list(topic) };
      } catch (cause) {
        if (!(cause instanceof RedisAwayError)) throw cause;
        // What this instance's subscribers were told is the best there is.
        const room = rooms.get(topic);
        if (!room) throw new UsherError('REDIS_NOT_READY', { cause });
        return { members: room.members };
      }
    },
    async close() {
      closed = true;
      stopWatching();
      await ticker.close();
      await eachOf([...rooms.values()], refreshWidth, async (room) => {
        room.leave();
        const ids = room.connections.map(({ connectionId }) => connectionId);
        if (store.ready) await store.leave(room.topic, ids).catch((cause: unknown) => report('close', cause));
      });
      rooms.clear();
    },
  };
}
