import type { Entry } from '../topics/log.ts';

export interface RingLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/**
 * The last entries of one topic that this instance has delivered: what a subscriber that is almost up to date still
 * misses, and what can be told while the log is away.
 */
export class Ring {
  readonly #limits: RingLimits;
  /** The position before the oldest entry kept. */
  #before: string;
  #entries: Entry[] = [];
  #bytes = 0;

  constructor(position: string, limits: RingLimits) {
    this.#before = position;
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.length;
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += Buffer.byteLength(entry.tail);
    if (this.#entries.length > this.#limits.maxEvents * 2 || this.#bytes > this.#limits.maxBytes * 2) this.#trim();
  }

  /** Forgets everything: what comes next follows `position`. */
  clear(position: string): void {
    this.#entries = [];
    this.#bytes = 0;
    this.#before = position;
  }

  /** What was delivered after `position`, or `undefined` when the ring does not reach back to it. */
  since(position: string): readonly Entry[] | undefined {
    const entries = this.#entries;
    for (let at = entries.length - 1; at >= 0; at -= 1) {
      if ((entries[at] as Entry).position === position) return entries.slice(at + 1);
    }
    return position === this.#before ? entries.slice() : undefined;
  }

  has(position: string): boolean {
    return position === this.#before || this.#entries.some((entry) => entry.position === position);
  }

  /** The newest entries, oldest first. */
  last(count: number, maxBytes: number): readonly Entry[] {
    let bytes = 0;
    let at = this.#entries.length;
    while (at > 0 && this.#entries.length - at < count) {
      bytes += Buffer.byteLength((this.#entries[at - 1] as Entry).tail);
      if (bytes > maxBytes) break;
      at -= 1;
    }
    return this.#entries.slice(at);
  }

  // Twice the bound may gather before anything moves: trimming one entry an event would copy the ring for each.
  #trim(): void {
    let drop = Math.max(0, this.#entries.length - this.#limits.maxEvents);
    let bytes = this.#bytes;
    for (let at = 0; at < drop; at += 1) bytes -= Buffer.byteLength((this.#entries[at] as Entry).tail);
    while (bytes > this.#limits.maxBytes && drop < this.#entries.length) {
      bytes -= Buffer.byteLength((this.#entries[drop] as Entry).tail);
      drop += 1;
    }
    if (drop === 0) return;
    this.#before = (this.#entries[drop - 1] as Entry).position;
    this.#entries = this.#entries.slice(drop);
    this.#bytes = bytes;
  }
}
