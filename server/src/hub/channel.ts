import type { ResetReason } from '@usher/contracts';
import type { AppendedMessage, Entry, Head, LiveMessage, Snapshot, TopicLog } from '../topics/log.ts';
import { partsOf } from '../topics/position.ts';
import { Audience, type AudienceOptions, type ChannelReader } from './audience.ts';
import { eventItem, type RawItem } from './frame.ts';
import type { GroupKey, GroupSocket } from './group.ts';
import { closedJson, degradedJson, type ItemId, presenceJson, resetJson, restoredJson } from './items.ts';
import { Ring } from './ring.ts';

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

export interface ChannelOptions extends AudienceOptions {
  readonly topic: string;
  readonly log: TopicLog;
  readonly limits: ChannelLimits;
  readonly itemId: ItemId;
  /** State from the application where the log holds none. */
  readonly load: (() => Promise<string | null>) | undefined;
  readonly observe: ChannelObserver;
  readonly now: () => number;
  /** Test only: `false` believes live messages without asking what came before them. @default true */
  readonly checkGaps?: boolean;
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

interface Healing {
  /** The position stands, or everybody was told. `false`: the log could not be asked. */
  readonly proven: boolean;
  /** Entries that were missing. */
  readonly filled: number;
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
  /** When the position was last known to be the log's end. */
  checkedAt = 0;
  /** Stays when the log is lost, so that whoever was let in as the owner can be told from the next one. */
  owner: string | null = null;
  made = false;
  degraded = false;
  ended = false;
  /** Settles when the channel knows its position and hears what is appended. */
  readonly started: Promise<void>;

  readonly #options: ChannelOptions;
  readonly #audience: Audience;
  readonly #checkGaps: boolean;
  readonly #endListeners = new Set<() => void>();
  readonly #ownerListeners = new Set<(owner: string | null) => void>();
  readonly #waiters = new Map<string, Set<() => void>>();
  #position = '';
  #state: string | null = null;
  /** Events came from the log without the states between them: the next snapshot asks for it anew. */
  #stateStale = false;
  #ring: Ring;
  /** Live messages that wait until the position is known or a gap is filled; `null` while none must wait. */
  #pending: LiveMessage[] | null = [];
  #pendingLost = false;
  #healing: Promise<Healing> | null = null;
  #closedJson: string | null = null;

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#audience = new Audience(options);
    this.#checkGaps = options.checkGaps ?? true;
    this.topic = options.topic;
    this.#ring = new Ring('', { maxEvents: options.limits.ringEvents, maxBytes: options.limits.ringBytes });
    this.started = this.#start();
  }

  get position(): string {
    return this.#position;
  }

  /** What was told of the topic's end; `null` while it has not ended, also where only this instance has. */
  get closedJson(): string | null {
    return this.#closedJson;
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
    return { last: this.#position, made, owner, closed: this.#closedJson !== null, state: this.#state, entries };
  }

  /** Puts a socket into its group, at the position the channel is at; gives the way out. */
  attach(key: GroupKey, socket: GroupSocket): () => void {
    return this.#audience.attach(key, socket);
  }

  read(reader: ChannelReader): () => void {
    return this.#audience.read(reader);
  }

  onEnd(listener: () => void): () => void {
    this.#endListeners.add(listener);
    return () => void this.#endListeners.delete(listener);
  }

  /** Told, before anything of it is delivered, that the topic is another owner's from here on. */
  onOwner(listener: (owner: string | null) => void): () => void {
    this.#ownerListeners.add(listener);
    return () => void this.#ownerListeners.delete(listener);
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
    if (!this.ended && this.#position !== '') this.#tell(json);
  }

  /** A change of who is there, as JSON `{joined, left}`; only those who asked are told. */
  tellPresence(change: string): void {
    if (!this.ended && this.#position !== '') this.#tell(presenceJson(change), true);
  }

  degrade(): void {
    if (this.degraded || this.ended || this.#position === '') return;
    this.degraded = true;
    this.#tell(degradedJson);
  }

  /**
   * Proves the position against the log; fills what is missing, or tells that it cannot. `false`: not possible now. MUST
   * NOT reject.
   */
  async verify(): Promise<boolean> {
    // There is nothing to prove before the first look, and what it saw may be older than what was lost since.
    if (this.#position === '') await this.started.catch(() => {});
    // A read that is under way may have been answered before what was lost was written.
    if (this.#healing !== null) await this.#healing;
    if (this.ended) return true;
    const proven = !this.#checkGaps || (await this.#heal()).proven;
    if (proven && this.degraded && !this.ended) {
      this.degraded = false;
      this.#tell(restoredJson);
    }
    return proven;
  }

  /** Compares an idle channel with the log. What is found there was not delivered: the channel then listens anew. */
  async checkTail(): Promise<void> {
    if (this.ended) return;
    const { filled } = await this.#heal();
    if (filled === 0 || this.ended) return;
    try {
      await this.#options.log.listenAgain(this.topic);
      await this.verify();
    } catch (cause) {
      this.#options.observe.unproven(this, cause);
    }
  }

  /** Lets go of everything without a word to the readers. */
  dispose(): void {
    if (this.ended) return;
    this.#stop();
  }

  async #start(): Promise<void> {
    const { log, load } = this.#options;
    await log.listen(this.topic, this.#receive);
    const snapshot = await log.snapshot(this.topic, { maxEvents: 0, maxBytes: 0, touch: true });
    const state = snapshot.state ?? (load ? await load() : null);
    this.#adopt(snapshot, state);
    if (this.ended) return;
    if (snapshot.closed) this.#end(undefined);
    else this.#drainPending();
  }

  #adopt(snapshot: Snapshot, state: string | null): void {
    this.#position = snapshot.last;
    this.#state = state;
    this.#stateStale = false;
    this.#ring.clear(snapshot.last);
    this.checkedAt = this.#options.now();
    this.#know(snapshot);
  }

  #know({ made, owner }: Pick<Head, 'made' | 'owner'>): void {
    this.made = made;
    if (!made || owner === this.owner) return;
    this.owner = owner;
    for (const listener of [...this.#ownerListeners]) listener(owner);
  }

  // An arrow, since the log knows it by identity.
  readonly #receive = (message: LiveMessage): void => {
    if (this.ended) return;
    if (this.#pending === null) this.#take(message);
    else if (this.#pending.length < this.#options.limits.maxPending) this.#pending.push(message);
    else this.#pendingLost = true;
  };

  /** Takes what has waited. What does not follow is older than what does, or is found by one read of the log. */
  #drainPending(): void {
    if (this.#pending === null) return;
    const pending = this.#pending;
    const lost = this.#pendingLost;
    let missing = false;
    this.#pending = null;
    this.#pendingLost = false;
    for (const message of pending) {
      if (this.ended) return;
      if (message.kind !== 'appended') this.#take(message);
      else if (this.#takeAppended(message)) missing = false;
      else missing = true;
    }
    if (missing || lost) void this.#heal();
  }

  #take(message: LiveMessage): void {
    if (message.kind === 'presence') this.tellPresence(message.change);
    else if (message.kind === 'deleted') this.#end(undefined);
    // The log is read after this message came, so that whatever it says is found there; keeping it would ask again and
    // again about a message that is merely old.
    else if (!this.#takeAppended(message)) void this.#heal();
  }

  /** Delivers what is new of a message that follows; `false` where it does not. */
  #takeAppended(message: AppendedMessage): boolean {
    const { entries } = message;
    const last = entries.at(-1);
    // Making a topic moves no position: whose it is now stood in a message that was lost.
    if (!this.made && message.owner === undefined && this.#checkGaps) return false;
    let from = 0;
    if (message.before !== this.#position && this.#checkGaps) {
      from = entries.findIndex((entry) => entry.position === this.#position) + 1;
      // Heard before, whole: its state may be older than the one that is known.
      if (last !== undefined && (from === entries.length || this.#ring.has(last.position))) return true;
      if (from === 0) {
        if (message.state !== undefined) this.#stateStale = true;
        return false;
      }
    }
    const owner = message.owner === undefined ? this.owner : message.owner;
    this.#know({ made: true, owner });
    if (message.state !== undefined) {
      this.#state = message.state;
      this.#stateStale = false;
    }
    this.checkedAt = this.#options.now();
    this.#deliver(from === 0 ? entries : entries.slice(from));
    if (last !== undefined)
      this.#options.observe.latency(Math.max(0, this.checkedAt - partsOf(last.position).ms) / 1_000);
    if (message.closed) this.#end(last);
    return true;
  }

  #deliver(entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.#position = entry.position;
      this.#ring.push(entry);
      this.#send(eventItem(entry), false);
      this.#wake(entry.position);
    }
  }

  #send(item: RawItem, presenceOnly: boolean): void {
    const frames = this.#audience.send(item, presenceOnly);
    if (frames > 0) this.#options.observe.delivered(frames);
  }

  #tell(json: string, presenceOnly = false): void {
    this.#send({ id: this.#options.itemId(this.#position, this.degraded), json }, presenceOnly);
  }

  /** One at a time, for all who find that something is missing. */
  #heal(): Promise<Healing> {
    this.#healing ??= (async () => {
      this.#pending ??= [];
      const healing = await this.#readGap();
      this.#healing = null;
      this.#drainPending();
      return healing;
    })();
    return this.#healing;
  }

  async #readGap(): Promise<Healing> {
    const { log, limits, observe } = this.#options;
    let filled = 0;
    try {
      for (;;) {
        const page = await log.read(this.topic, this.#position, {
          maxEvents: limits.pageEvents,
          maxBytes: limits.pageBytes,
        });
        if (this.ended) break;
        if (!page.proven) {
          await this.#reset(page.reason);
          break;
        }
        this.#know(page);
        if (page.entries.length > 0) this.#stateStale = true;
        filled += page.entries.length;
        this.#deliver(page.entries);
        if (this.#position === page.last) {
          this.checkedAt = this.#options.now();
          if (page.closed) this.#end(undefined);
          break;
        }
        if (filled <= limits.maxReplayEvents) continue;
        await this.#reset('limit');
        break;
      }
    } catch (cause) {
      // Without the log nothing is proven: what waits is dropped, and found again when the position is verified.
      this.#pending = null;
      this.#pendingLost = false;
      if (!this.ended) observe.unproven(this, cause);
      return { proven: false, filled };
    }
    if (filled > 0) observe.healed(filled);
    return { proven: true, filled };
  }

  async #reset(reason: ResetReason): Promise<void> {
    const { log, limits, itemId, observe, load } = this.#options;
    const snapshot = await log.snapshot(this.topic, {
      maxEvents: this.#audience.history,
      maxBytes: limits.maxHistoryBytes,
      touch: true,
    });
    const state = snapshot.state ?? (load ? await load() : null);
    if (this.ended) return;
    this.#adopt(snapshot, state);
    // Told anew is as good as restored, and it is what "restored" would contradict.
    this.degraded = false;
    observe.reset(reason, this.#audience.size);
    this.#audience.sendWithHistory((history) => ({
      id: itemId(this.#position, false),
      json: resetJson(reason, state, history === 0 ? [] : snapshot.entries.slice(-history)),
    }));
    this.#wakeAll();
    if (snapshot.closed) this.#end(undefined);
  }

  #end(last: Entry | undefined): void {
    if (this.ended) return;
    this.#closedJson = closedJson(last);
    this.#tell(this.#closedJson);
    this.#stop();
    this.#options.observe.ended(this);
  }

  #stop(): void {
    this.ended = true;
    this.#pending = null;
    this.#options.log.unlisten(this.topic, this.#receive);
    const listeners = [...this.#endListeners];
    this.#endListeners.clear();
    this.#ownerListeners.clear();
    for (const listener of listeners) listener();
    this.#wakeAll();
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
