import { frameFor, frameTail, type RawItem } from './frame.ts';
import { type Group, type GroupKey, type GroupSocket, groupKeyOf } from './group.ts';

/** A reader in this process that is no socket of a group: a poll, an iterator. */
export interface ChannelReader {
  readonly presence: boolean;
  readonly history: number;
  /** MUST NOT throw. */
  item(item: RawItem): void;
}

export interface AudienceOptions {
  /** Gives a frame to all sockets of a group; called once per item and group. */
  readonly publish: (group: string, frame: string) => void;
  readonly groupName: () => string;
}

/** Everybody on this instance who reads one topic live. */
export class Audience {
  readonly #options: AudienceOptions;
  readonly #groups = new Map<string, Group>();
  readonly #readers = new Set<ChannelReader>();

  constructor(options: AudienceOptions) {
    this.#options = options;
  }

  get size(): number {
    let size = this.#readers.size;
    for (const group of this.#groups.values()) size += group.sockets.size;
    return size;
  }

  /** The most history anybody here wants with a reset. */
  get history(): number {
    let history = 0;
    for (const group of this.#groups.values()) history = Math.max(history, group.history);
    for (const reader of this.#readers) history = Math.max(history, reader.history);
    return history;
  }

  /** Puts a socket into its group; gives the way out. */
  attach(key: GroupKey, socket: GroupSocket): () => void {
    const id = groupKeyOf(key);
    const known = this.#groups.get(id);
    const group = known ?? { ...key, name: this.#options.groupName(), sockets: new Set<GroupSocket>() };
    if (known === undefined) this.#groups.set(id, group);
    group.sockets.add(socket);
    socket.join(group.name);
    return () => {
      if (!group.sockets.delete(socket)) return;
      socket.leave(group.name);
      if (group.sockets.size === 0 && this.#groups.get(id) === group) this.#groups.delete(id);
    };
  }

  read(reader: ChannelReader): () => void {
    this.#readers.add(reader);
    return () => void this.#readers.delete(reader);
  }

  /** One serialisation, one publish per group; gives how many were served. */
  send(item: RawItem, presenceOnly: boolean): number {
    let frames = 0;
    if (this.#groups.size > 0) {
      const tail = frameTail(item);
      for (const group of this.#groups.values()) {
        if (presenceOnly && !group.presence) continue;
        frames += group.sockets.size;
        this.#options.publish(group.name, frameFor(group.requestId, tail));
      }
    }
    for (const reader of this.#readers) {
      if (presenceOnly && !reader.presence) continue;
      frames += 1;
      reader.item(item);
    }
    return frames;
  }

  /** As `send`, with as much history for each as it asked for. */
  sendWithHistory(itemFor: (history: number) => RawItem): void {
    for (const group of this.#groups.values()) {
      this.#options.publish(group.name, frameFor(group.requestId, frameTail(itemFor(group.history))));
    }
    for (const reader of [...this.#readers]) reader.item(itemFor(reader.history));
  }
}
