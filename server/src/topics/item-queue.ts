import type { RawItem } from '../hub/frame.ts';

export interface ItemQueueLimits {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/** Items between the one who brings them and one who asks for them, bounded in number and in bytes. */
export class ItemQueue {
  readonly #limits: ItemQueueLimits;
  readonly #items: RawItem[] = [];
  #bytes = 0;
  #ended = false;
  #failure: unknown;
  #wake: () => void = () => {};
  #roomMade: () => void = () => {};

  constructor(limits: ItemQueueLimits) {
    this.#limits = limits;
  }

  get isFull(): boolean {
    return this.#items.length >= this.#limits.maxItems || this.#bytes >= this.#limits.maxBytes;
  }

  push(item: RawItem): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#bytes += Buffer.byteLength(item.json);
    this.#wake();
  }

  /** A promise where the one who brings should wait: half of what fits is left to what comes live. */
  room(): void | Promise<void> {
    if (this.#ended || !this.#isOver(1 / 2)) return undefined;
    return new Promise((resolve) => {
      this.#roomMade = resolve;
    });
  }

  /** Nothing more comes; what is there is still given, and then the failure, if any. */
  end(failure?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#wake();
    this.#roomMade();
  }

  /** The next item, or `undefined` at the end. @throws what it was ended with */
  async next(): Promise<RawItem | undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#bytes -= Buffer.byteLength(item.json);
        if (!this.#isOver(1 / 4)) this.#roomMade();
        return item;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #isOver(share: number): boolean {
    return this.#items.length > this.#limits.maxItems * share || this.#bytes > this.#limits.maxBytes * share;
  }
}
