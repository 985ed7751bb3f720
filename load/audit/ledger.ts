import { foldBetween, foldOf, foldOn } from './fold.ts';

/** One entry of a log, as the auditor read it, or the position before the first one. */
export interface LedgerEntry {
  readonly position: string;
  /** What its publisher called it; empty for the beginning of a log. */
  readonly key: string;
  /** Entries before it. */
  readonly depth: number;
  /** The fold of all entries up to it. */
  readonly fold: number;
  readonly branch: Branch;
}

/** Entries that follow each other; a log that was set back goes on as another branch. */
interface Branch {
  readonly parent: Branch | null;
  /** Depth of the entry it goes on from. */
  readonly from: number;
  tip: LedgerEntry;
}

/** A stretch of events as somebody got it. */
export interface Stretch {
  /** The position it goes on from; `null` where that is not known. */
  readonly from: string | null;
  readonly first: string;
  readonly last: string;
  readonly count: number;
  readonly fold: number;
}

/**
 * Everything that ever was in one topic's log, over all the lives of Redis: a tree, since a log that is set back to an
 * older copy goes on from there. It grows by one entry a published event, not by one a delivery.
 */
export class Ledger {
  readonly topic: string;
  /** The log's end as last read. */
  tip: LedgerEntry | null = null;
  /** How often the log began anew or was set back. */
  breaks = 0;
  size = 0;
  readonly #entries = new Map<string, LedgerEntry>();
  readonly #byKey = new Map<string, LedgerEntry>();

  constructor(topic: string) {
    this.topic = topic;
  }

  find(position: string): LedgerEntry | undefined {
    return this.#entries.get(position);
  }

  /** The latest entry of that key. */
  findKey(key: string): LedgerEntry | undefined {
    return this.#byKey.get(key);
  }

  /** Writes an entry down; gives the entry of the same key that it repeats, if any. */
  add(position: string, before: string, key: string): LedgerEntry | undefined {
    const known = this.#entries.get(position);
    if (known) {
      this.tip = known;
      return undefined;
    }
    const previous = this.#entries.get(before) ?? this.#begin(before);
    if (this.tip !== null && previous !== this.tip) this.breaks += 1;
    const continues = previous.branch.tip === previous;
    const branch: Branch = continues
      ? previous.branch
      : { parent: previous.branch, from: previous.depth, tip: previous };
    const entry: LedgerEntry = {
      position,
      key,
      depth: previous.depth + 1,
      fold: foldOn(previous.fold, foldOf(position, key)),
      branch,
    };
    branch.tip = entry;
    this.#entries.set(position, entry);
    this.tip = entry;
    this.size += 1;
    const same = this.#byKey.get(key);
    this.#byKey.set(key, entry);
    return same !== undefined && this.isBefore(same, entry) ? same : undefined;
  }

  /** Whether both are of one log, `a` not after `b`. */
  isBefore(a: LedgerEntry, b: LedgerEntry): boolean {
    let limit = b.depth;
    for (let branch: Branch | null = b.branch; branch !== null; branch = branch.parent) {
      if (branch === a.branch) return a.depth <= limit;
      limit = branch.from;
    }
    return false;
  }

  /** What is wrong with a stretch, or `null` where it is exactly a part of one log. */
  faultOf(stretch: Stretch): string | null {
    const last = this.#entries.get(stretch.last);
    const first = this.#entries.get(stretch.first);
    if (last === undefined || first === undefined) {
      return `${last === undefined ? stretch.last : stretch.first} is in no log`;
    }
    if (!this.isBefore(first, last) || last.depth - first.depth !== stretch.count - 1) {
      return `${stretch.first}…${stretch.last} are ${stretch.count} events of ${last.depth - first.depth + 1} or of two logs`;
    }
    const startFold = foldBefore(first);
    if (stretch.from !== null) {
      const from = this.#entries.get(stretch.from);
      if (from === undefined) return `${stretch.from} is in no log`;
      if (from.depth !== first.depth - 1 || !this.isBefore(from, first)) {
        return `${stretch.first} does not follow ${stretch.from}`;
      }
      if (foldBetween(from.fold, last.fold, stretch.count) === stretch.fold) return null;
    } else if (startFold === null || foldBetween(startFold, last.fold, stretch.count) === stretch.fold) {
      return null;
    }
    return `${stretch.first}…${stretch.last} are not the events of the log`;
  }

  /** Entries that are no longer part of the log. */
  lost(): number {
    return this.size - (this.tip?.depth ?? 0);
  }

  #begin(position: string): LedgerEntry {
    const branch = { parent: null, from: 0 } as unknown as Branch;
    const entry: LedgerEntry = { position, key: '', depth: 0, fold: 0, branch };
    branch.tip = entry;
    this.#entries.set(position, entry);
    return entry;
  }
}
