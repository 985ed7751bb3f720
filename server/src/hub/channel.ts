import type { ResetReason } from '@usher/contracts';
import type { Entry, LiveMessage, Snapshot, TopicLog } from '../topics/log.ts';
import { partsOf } from '../topics/position.ts';
import { eventItem, frameFor, frameTail, type RawItem } from './frame.ts';
import { type Group, type GroupKey, type GroupSocket, groupKeyOf } from './group.ts';
import { closedJson, degradedJson, type ItemId, presenceJson, resetJson, restoredJson } from './items.ts';
import { Ring } from './ring.ts';

/** A reader in this process that is no socket of a group: a poll, an iterator. */
export interface ChannelReader {
  readonly presence: boolean;
  readonly history: number;
  item(item: RawItem): void;
}

export interface ChannelLimits {
  /** Entries and bytes one read of the log brings. */
  readonly pageEvents: number;
  readonly pageBytes: number;
  /** Entries and bytes of a topic kept in this process. */
  readonly ringEvents: number;
  readonly ringBytes: number;
  /** Most missed events that are filled in or replayed; past that a reader is told to start anew. */
  readonly maxReplayEvents: number;
  readonly maxHistoryBytes: number;
  /** Live messages kept while a gap is being read. */
  readonly maxPending: number;
}

export interface ChannelOptions {
  readonly topic: string;
  readonly log: TopicLog;
  readonly limits: ChannelLimits;
  readonly itemId: ItemId;
  /** Gives a frame to all sockets of a group; called once per event and group. */
  readonly publish: (group: string, frame: string) => void;
  readonly groupName: () => string;
  /** State from the application where the log holds none. */
  readonly load: (() => Promise<string | null>) | undefined;
  readonly observe: ChannelObserver;
  readonly now: () => number;
  /** Test only: `false` takes whatever comes and never looks for what did not, so that an audit can be seen to fail. */
  readonly checkGaps: boolean;
}

/** What a channel tells of itself, to be counted and logged. */
export interface ChannelObserver {
  delivered(frames: number): void;
  latency(seconds: number): void;
  healed(events: number): void;
  reset(reason: ResetReason, readers: number): void;
  /** The log could not be read; the channel goes on unproven until it can. */
  unproven(channel: Channel, cause: unknown): void;
  ended(channel: Channel): void;
}

/**
 * One topic on one instance: the position everybody here has been brought to, and everybody who is here.
 *
 * Whatever is delivered follows what was delivered before, and that is proven: a live message names the position before
 * it; if that is not ours, the gap is read from the log, whose next entry must name ours; if it does not, all are told.
 */
export class Channel {
  readonly topic: string;
  /** Holders: subscriptions and polls; the hub lets go of a channel without any. */
  users = 0;
  checkedAt = 0;
  owner: string | null = null;
  made = false;
  degraded = false;
  ended = false;
  /** Settles when the channel knows its position and hears what is appended. */
  readonly started: Promise<void>;

  readonly #options: ChannelOptions;
  readonly #groups = new Map<string, Group>();
  readonly #readers = new Set<ChannelReader>();
  readonly #endListeners = new Set<() => void>();
  readonly #waiters = new Map<string, Set<() => void>>();
  #position = '';
  #state: string | null = null;
  /** Events came from the log without the states between them: the next snapshot asks for it anew. */
  #stateStale = false;
  #ring: Ring;
  /** Live messages that wait until the position is known or a gap is filled; `null` while none must wait. */
  #pending: LiveMessage[] | null = [];
  #healing: Promise<boolean> | null = null;
  /** JSON of the last item of each kind of end, for those who come in the same moment. */
  #closedItem: RawItem | null = null;

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.topic = options.topic;
    this.#ring = new Ring('', { maxEvents: options.limits.ringEvents, maxBytes: options.limits.ringBytes });
    this.started = this.#start();
  }

  get position(): string {
    return this.#position;
  }

  get closedItem(): RawItem | null {
    return this.#closedItem;
  }

  /** What was delivered here after `position`; `undefined` where that is not known here. */
  since(position: string): readonly Entry[] | undefined {
    if (position === this.#position) return [];
    return this.#ring.since(position);
  }

  /** The topic as this instance knows it, if it knows enough; `partial` takes what there is. */
  localSnapshot(history: number, partial: boolean): Snapshot | undefined {
    const complete = !this.#stateStale && (history === 0 || this.#ring.size >= history);
    if (!complete && !partial) return undefined;
    const entries = history === 0 ? [] : this.#ring.last(history, this.#options.limits.maxHistoryBytes);
    const { made, owner } = this;
    return { last: this.#position, made, owner, closed: this.#closedItem !== null, state: this.#state, entries };
  }

  /** Puts a socket into its group, at the position the channel is at; gives the way out. */
  attach(key: GroupKey, socket: GroupSocket): () => void {
    const id = groupKeyOf(key);
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = { ...key, name: this.#options.groupName(), sockets: new Set() };
      this.#groups.set(id, group);
    }
    const joined = group;
    joined.sockets.add(socket);
    socket.join(joined.name);
    return () => {
      if (!joined.sockets.delete(socket)) return;
      socket.leave(joined.name);
      if (joined.sockets.size === 0 && this.#groups.get(id) === joined) this.#groups.delete(id);
    };
  }

  read(reader: ChannelReader): () => void {
    this.#readers.add(reader);
    return () => void this.#readers.delete(reader);
  }

  onEnd(listener: () => void): () => void {
    this.#endListeners.add(listener);
    return () => void this.#endListeners.delete(listener);
  }

  /**
   * Runs `join` in the moment the channel arrives at `position`, before anything later is delivered. Gives the way to
   * stop waiting; a reset or an end wakes the waiter too, which then finds the channel elsewhere.
   */
  waitFor(position: string, join: () => void): () => void {
    const waiting = this.#waiters.get(position) ?? new Set();
    this.#waiters.set(position, waiting.add(join));
    return () => {
      if (waiting.delete(join) && waiting.size === 0) this.#waiters.delete(position);
    };
  }

  /** An event that is in no log. */
  deliverLocal(json: string): void {
    this.#tell(json);
  }

  /** A change of who is there, as JSON `{joined, left}`; only those who asked are told. */
  tellPresence(change: string): void {
    if (this.#position !== '') this.#tell(presenceJson(change), true);
  }

  degrade(): void {
    if (this.degraded || this.ended || this.#position === '') return;
    this.degraded = true;
    this.#tell(degradedJson);
  }

  /** Proves the position against the log; fills what is missing, or tells that it cannot. `false`: not possible now. */
  async verify(): Promise<boolean> {
    if (this.ended) return true;
    const proven = !this.#options.checkGaps || (await this.#heal());
    if (proven && this.degraded && !this.ended) {
      this.degraded = false;
      this.#tell(restoredJson);
    }
    return proven;
  }

  /** Lets go of everything without a word: nobody is left. */
  dispose(): void {
    this.ended = true;
    this.#options.log.unlisten(this.topic, this.#receive);
    this.#pending = null;
    this.#endListeners.clear();
    this.#wakeAll();
  }

  async #start(): Promise<void> {
    const { log, load } = this.#options;
    await log.listen(this.topic, this.#receive);
    const snapshot = await log.snapshot(this.topic, { maxEvents: 0, maxBytes: 0, touch: true });
    this.#adopt(snapshot);
    if (this.#state === null && load) this.#state = await load();
    this.checkedAt = this.#options.now();
    if (snapshot.closed) this.#end(undefined);
    else this.#drainPending();
  }

  #adopt(snapshot: Snapshot): void {
    this.#position = snapshot.last;
    this.#state = snapshot.state;
    this.#stateStale = false;
    this.owner = snapshot.owner;
    this.made = snapshot.made;
    this.#ring.clear(snapshot.last);
  }

  // An arrow, since the log knows it by identity.
  readonly #receive = (message: LiveMessage): void => {
    if (this.ended) return;
    if (this.#pending !== null) {
      // Dropping is allowed: what is lost here is found missing by the position before the next message.
      if (this.#pending.length < this.#options.limits.maxPending) this.#pending.push(message);
      return;
    }
    this.#take(message);
  };

  #drainPending(): void {
    const pending = this.#pending ?? [];
    this.#pending = null;
    for (const message of pending) this.#receive(message);
  }

  #take(message: LiveMessage): void {
    if (message.kind === 'presence') this.#tell(presenceJson(message.change), true);
    else if (message.kind === 'deleted') this.#end(undefined);
    else this.#takeAppended(message);
  }

  #takeAppended(message: Extract<LiveMessage, { kind: 'appended' }>): void {
    const { entries } = message;
    const last = entries.at(-1);
    let from = 0;
    if (message.before !== this.#position && this.#options.checkGaps) {
      from = entries.findIndex((entry) => entry.position === this.#position) + 1;
      if (from === 0) {
        if (last !== undefined && this.#ring.has(last.position)) return;
        // The log is read after this message came, so that whatever it says is found there; keeping it would ask again
        // and again about a message that is merely old.
        if (message.state !== undefined) this.#stateStale = true;
        void this.#heal();
        return;
      }
    }
    if (message.state !== undefined) {
      this.#state = message.state;
      this.#stateStale = false;
    }
    this.made = true;
    this.#deliver(from === 0 ? entries : entries.slice(from));
    if (last !== undefined) {
      this.#options.observe.latency(Math.max(0, this.#options.now() - partsOf(last.position).ms) / 1_000);
    }
    if (message.closed) this.#end(last);
  }

  #deliver(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#position = entry.position;
      this.#ring.push(entry);
      this.#send(eventItem(entry), false);
      this.#wake(entry.position);
    }
  }

  /** One serialisation, one publish per group. */
  #send(item: RawItem, presenceOnly: boolean): void {
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
    if (frames > 0) this.#options.observe.delivered(frames);
  }

  #tell(json: string, presenceOnly = false): void {
    this.#send({ id: this.#options.itemId(this.#position), json }, presenceOnly);
  }

  #heal(): Promise<boolean> {
    this.#healing ??= (async () => {
      this.#pending ??= [];
      const proven = await this.#readGap();
      this.#healing = null;
      this.#drainPending();
      return proven;
    })();
    return this.#healing;
  }

  async #readGap(): Promise<boolean> {
    const { log, limits, observe } = this.#options;
    let filled = 0;
    try {
      for (;;) {
        const page = await log.read(this.topic, this.#position, {
          maxEvents: limits.pageEvents,
          maxBytes: limits.pageBytes,
        });
        if (this.ended) return true;
        if (!page.proven) {
          await this.#reset(page.reason);
          break;
        }
        if (page.entries.length > 0) this.#stateStale = true;
        filled += page.entries.length;
        this.#deliver(page.entries);
        if (this.#position !== page.last) {
          if (filled <= limits.maxReplayEvents) continue;
          await this.#reset('limit');
          break;
        }
        if (page.closed) this.#end(page.entries.at(-1));
        break;
      }
    } catch (cause) {
      // Without the log nothing is proven: what waits is dropped, and found again when the position is verified.
      this.#pending = null;
      observe.unproven(this, cause);
      return false;
    }
    this.checkedAt = this.#options.now();
    if (filled > 0) observe.healed(filled);
    return true;
  }

  async #reset(reason: ResetReason): Promise<void> {
    const { log, limits, itemId, observe, load } = this.#options;
    let history = 0;
    let readers = this.#readers.size;
    for (const group of this.#groups.values()) {
      history = Math.max(history, group.history);
      readers += group.sockets.size;
    }
    for (const reader of this.#readers) history = Math.max(history, reader.history);
    const snapshot = await log.snapshot(this.topic, {
      maxEvents: history,
      maxBytes: limits.maxHistoryBytes,
      touch: true,
    });
    const state = snapshot.state ?? (load ? await load() : null);
    if (this.ended) return;
    this.#adopt({ ...snapshot, state });
    observe.reset(reason, readers);
    const resetFor = (count: number): RawItem => ({
      id: itemId(this.#position),
      json: resetJson(reason, state, count === 0 ? [] : snapshot.entries.slice(-count)),
    });
    for (const group of this.#groups.values()) {
      this.#options.publish(group.name, frameFor(group.requestId, frameTail(resetFor(group.history))));
    }
    for (const reader of [...this.#readers]) reader.item(resetFor(reader.history));
    // Told anew is as good as restored, and it is what "restored" would contradict.
    this.degraded = false;
    this.#wakeAll();
    if (snapshot.closed) this.#end(undefined);
  }

  #end(last: Entry | undefined): void {
    if (this.ended) return;
    this.#closedItem = { id: this.#options.itemId(this.#position), json: closedJson(last) };
    this.#send(this.#closedItem, false);
    this.ended = true;
    this.#options.log.unlisten(this.topic, this.#receive);
    const listeners = [...this.#endListeners];
    this.#endListeners.clear();
    for (const listener of listeners) listener();
    this.#wakeAll();
    this.#options.observe.ended(this);
  }

  #wake(position: string): void {
    const waiting = this.#waiters.get(position);
    if (waiting === undefined) return;
    this.#waiters.delete(position);
    for (const join of waiting) join();
  }

  #wakeAll(): void {
    for (const position of [...this.#waiters.keys()]) this.#wake(position);
  }
}
