import type { Member } from '@usher/contracts';
import type { PresenceStore, PresentConnection } from './store.ts';
import { applyChange, type Change, difference, parseChange, type View } from './view.ts';

export interface RoomOptions {
  readonly topic: string;
  readonly store: PresenceStore;
  /** Told what subscribers missed while changes could not come. */
  readonly onMissed: (topic: string, change: string) => void;
}

interface Held extends PresentConnection {
  /** Subscriptions of the connection that are in the room. */
  entries: number;
}

/** One topic as this instance sees it: its own connections, and what its subscribers have been told of all members. */
export class Room {
  readonly topic: string;
  /** When its leases are to be prolonged, or those of others ended. */
  dueAt = 0;
  readonly #store: PresenceStore;
  readonly #onMissed: RoomOptions['onMissed'];
  readonly #connections = new Map<string, Held>();
  #view: View = new Map();
  /** Changes that came while the members were being read. */
  #pending: Change[] | null = null;
  #reading: Promise<void> | null = null;
  /** The view may lack changes. */
  #stale = true;
  /** Somebody was given the view: from now on it is corrected by telling, not by replacing. */
  #shown = false;
  #left = false;
  readonly #listening: Promise<void>;

  constructor({ topic, store, onMissed }: RoomOptions) {
    this.topic = topic;
    this.#store = store;
    this.#onMissed = onMissed;
    // One that rejects is made good by `onReturn`, which finds the view stale.
    this.#listening = store.listen(topic, this.#hear).catch(() => {});
  }

  get connections(): readonly PresentConnection[] {
    return [...this.#connections.values()];
  }

  get isEmpty(): boolean {
    return this.#connections.size === 0;
  }

  get isStale(): boolean {
    return this.#stale;
  }

  /** The members as this instance's subscribers know them. */
  get members(): Member[] {
    return [...this.#view.values()];
  }

  /** Counts one subscription of a connection; true when it is its first. */
  enter(connection: PresentConnection): boolean {
    const held = this.#connections.get(connection.connectionId);
    if (held) held.entries += 1;
    else this.#connections.set(connection.connectionId, { ...connection, entries: 1 });
    return !held;
  }

  /** The connection, when that was its last subscription. */
  exit(connectionId: string): PresentConnection | undefined {
    const held = this.#connections.get(connectionId);
    if (!held) return undefined;
    held.entries -= 1;
    if (held.entries > 0) return undefined;
    this.#connections.delete(connectionId);
    return held;
  }

  /** Changes were perhaps missed. */
  markStale(): void {
    this.#stale = true;
  }

  /** Makes sure that the view holds all members; rejects when the store is away. */
  async complete(): Promise<void> {
    if (this.#stale) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = null;
      });
    }
    await this.#reading;
  }

  /** The members, for one who has been told nothing yet. Own connections are among them before the channel says so. */
  show(): Member[] {
    this.#shown = true;
    const view: View = new Map(this.#view);
    for (const connection of this.#connections.values()) {
      if (!view.has(connection.userId)) view.set(connection.userId, memberOf(connection));
    }
    return [...view.values()];
  }

  /** While the store is away nobody else tells of who comes here. */
  tellOfEntry(connection: PresentConnection): void {
    if (!this.#view.has(connection.userId)) this.#tell({ joined: [memberOf(connection)], left: [] });
  }

  /** While the store is away nobody else tells of who goes from here. */
  tellOfExit(userId: string): void {
    const member = this.#view.get(userId);
    for (const connection of this.#connections.values()) if (connection.userId === userId) return;
    if (member) this.#tell({ joined: [], left: [{ ...member, connections: 0 }] });
  }

  leave(): void {
    this.#left = true;
    this.#store.unlisten(this.topic, this.#hear);
  }

  async #read(): Promise<void> {
    this.#stale = false;
    this.#pending = [];
    try {
      // Else a change between the list and the subscription would reach nobody.
      await this.#listening;
      const members = await this.#store.list(this.topic);
      const view: View = new Map(members.map((member) => [member.userId, member]));
      // What was heard meanwhile happened before the list was made, and changes nothing in it, or after, and does.
      for (const change of this.#pending) applyChange(view, change);
      const missed = this.#shown ? difference(this.#view, view) : null;
      this.#view = view;
      if (missed) this.#tell(missed);
    } catch (cause) {
      this.#stale = true;
      throw cause;
    } finally {
      this.#pending = null;
    }
  }

  #tell(change: Change): void {
    applyChange(this.#view, change);
    if (!this.#left) this.#onMissed(this.topic, JSON.stringify(change));
  }

  readonly #hear = (text: string): void => {
    const change = parseChange(text);
    if (!change) return;
    this.#pending?.push(change);
    applyChange(this.#view, change);
  };
}

const memberOf = ({ userId, since, info }: PresentConnection): Member => ({
  userId,
  connections: 1,
  since,
  ...(info !== undefined && { info: JSON.parse(info) as unknown }),
});
