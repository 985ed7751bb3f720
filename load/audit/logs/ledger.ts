import type { AuditedData } from '../audited-data.ts';
import { foldBetween, foldOf, foldOn } from './fold.ts';

/** One entry of a log as the auditor read it, or the position a log began at. */
export interface LedgerEntry {
  readonly position: string;
  /** What its publisher called it; empty for a beginning. */
  readonly key: string;
  /** Key of the last entry, itself included, that brought a state; empty where none did. */
  readonly stateKey: string;
  readonly previous: LedgerEntry | null;
  /** Entries before it, itself included. */
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
  /** Entries, of all branches. */
  size = 0;
  readonly #entries = new Map<string, LedgerEntry>();
  readonly #byKey = new Map<string, LedgerEntry>();
  readonly #tips = new Map<Branch, LedgerEntry>();

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

  /** Writes an entry down, if it is new; gives the entry of the same log whose key it repeats, if any. */
  add(position: string, before: string, { key, hasState }: AuditedData): LedgerEntry | undefined {
    const known = this.#entries.get(position);
    if (known) {
      this.tip = known;
      return undefined;
    }
    const previous = this.#entries.get(before) ?? this.#begin(before);
    const goesOn = this.#tips.get(previous.branch) === previous;
    const entry: LedgerEntry = {
      position,
      key,
      stateKey: hasState ? key : previous.stateKey,
      previous,
      depth: previous.depth + 1,
      fold: foldOn(previous.fold, foldOf(position, key)),
      branch: goesOn ? previous.branch : { parent: previous.branch, from: previous.depth },
    };
    this.#entries.set(position, entry);
    this.#tips.set(entry.branch, entry);
    this.tip = entry;
    this.size += 1;
    const same = this.#byKey.get(key);
    this.#byKey.set(key, entry);
    return same !== undefined && this.precedes(same, entry) ? same : undefined;
  }

  /** Whether both are of one log, `a` not after `b`. */
  precedes(a: LedgerEntry, b: LedgerEntry): boolean {
    let limit = b.depth;
    for (let branch: Branch | null = b.branch; branch !== null; branch = branch.parent) {
      if (branch === a.branch) return a.depth <= limit;
      limit = branch.from;
    }
    return false;
  }

  /** What is wrong with a stretch, or `null` where it is exactly a part of one log. */
  faultOf({ from, first: firstPosition, last: lastPosition, count, fold }: Stretch): string | null {
    const first = this.#entries.get(firstPosition);
    const last = this.#entries.get(lastPosition);
    if (!first?.previous || !last?.previous) {
      return `${first?.previous ? lastPosition : firstPosition} is in no log`;
    }
    if (from !== null && first.previous.position !== from) {
      return `${firstPosition} follows ${first.previous.position} in the log, and came after ${from}`;
    }
    if (!this.precedes(first, last)) return `${firstPosition} and ${lastPosition} are of two logs`;
    const logged = last.depth - first.depth + 1;
    if (logged !== count)
      return `${count} events came from ${firstPosition} to ${lastPosition}, ${logged} are in the log`;
    const same = foldBetween(first.previous.fold, last.fold, count) === fold;
    return same ? null : `what came from ${firstPosition} to ${lastPosition} is not what the log holds`;
  }

  /** Entries that are no longer in the log. */
  get lost(): number {
    return this.size - (this.tip?.depth ?? 0);
  }

  #begin(position: string): LedgerEntry {
    const branch: Branch = { parent: null, from: 0 };
    const entry: LedgerEntry = { position, key: '', stateKey: '', previous: null, depth: 0, fold: 0, branch };
    this.#entries.set(position, entry);
    this.#tips.set(branch, entry);
    return entry;
  }
}
