import type { Code, TopicItem } from '@usher/contracts';
import { eventually, type WaitOptions } from './wait.ts';

/** A frame from the server. */
export interface RawFrame {
  readonly id?: number | string | null;
  readonly method?: string;
  readonly result?: { readonly type?: 'started' | 'stopped' | 'data'; readonly id?: string; readonly data?: unknown };
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data: {
      readonly code: string;
      readonly reason: Code;
      readonly traceId: string;
      readonly retryAfterMs?: number;
    };
  };
}

export interface RawRefusal {
  readonly code: Code;
  readonly message: string;
  readonly traceId: string;
  readonly retryAfterMs: number | undefined;
}

export const isFrame = (value: unknown): value is RawFrame =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const refusalOf = ({ error }: RawFrame): RawRefusal | undefined =>
  error && {
    code: error.data.reason,
    message: error.message,
    traceId: error.data.traceId,
    retryAfterMs: error.data.retryAfterMs,
  };

/** One item with the id tRPC would hand back as `lastEventId`. */
export interface RawItem {
  readonly id: string;
  readonly item: TopicItem;
}

export type SubscriptionEnd =
  | { readonly type: 'stopped' }
  | { readonly type: 'error'; readonly error: RawRefusal }
  /** The connection went. */
  | { readonly type: 'lost' };

/** One subscription of a raw client: its items in order, read by `next` and `until`. */
export class RawSubscription {
  readonly id: number | string;
  /** Every item so far. */
  readonly items: RawItem[] = [];
  started = false;
  end: SubscriptionEnd | undefined;
  readonly #send: (text: string) => void;
  #read = 0;
  #fault: Error | undefined;

  constructor(id: number | string, send: (text: string) => void) {
    this.id = id;
    this.#send = send;
  }

  /** What a client would resume from. */
  get lastEventId(): string | undefined {
    return this.items.at(-1)?.id;
  }

  /** The events among the items, bare. */
  get events(): readonly Extract<TopicItem, { type: 'event' }>['event'][] {
    return this.items.flatMap(({ item }) => (item.type === 'event' ? [item.event] : []));
  }

  /** The next item nobody has read yet. */
  next(options: WaitOptions = {}): Promise<RawItem> {
    return this.until(() => true, options);
  }

  /** Reads on to the first item that the predicate accepts, and gives it. */
  async until(accepts: (item: TopicItem, id: string) => boolean, options: WaitOptions = {}): Promise<RawItem> {
    return eventually(
      () => {
        while (this.#read < this.items.length) {
          const found = this.items[this.#read++]!;
          if (accepts(found.item, found.id)) return found;
        }
        if (this.#fault) throw this.#fault;
        if (this.end) throw new Error(`The subscription has ended: ${JSON.stringify(this.end)}`);
        return false;
      },
      { what: () => `an item of subscription ${this.id}; it saw ${this.#describe()}`, intervalMs: 5, ...options },
    );
  }

  /** How it ends. */
  ended(options: WaitOptions = {}): Promise<SubscriptionEnd> {
    const ask = (): SubscriptionEnd | false => {
      if (this.#fault) throw this.#fault;
      return this.end ?? false;
    };
    return eventually(ask, {
      what: () => `the end of subscription ${this.id}; it saw ${this.#describe()}`,
      ...options,
    });
  }

  stop(): void {
    this.#send(JSON.stringify({ id: this.id, method: 'subscription.stop' }));
  }

  /** Called by the client with each frame of this id. */
  take(frame: RawFrame): void {
    const error = refusalOf(frame);
    const type = frame.result?.type ?? 'data';
    if (error) this.end = { type: 'error', error };
    else if (type === 'started') this.started = true;
    // tRPC says `stopped` after an error, too.
    else if (type === 'stopped') this.end ??= { type: 'stopped' };
    else if (this.end) this.#fault ??= new Error(`An item came after the end: ${JSON.stringify(frame).slice(0, 300)}`);
    else if (frame.result) this.#takeItem(frame.result);
  }

  /** Opens tRPC's tracked envelope, whose id stands twice. */
  #takeItem(result: NonNullable<RawFrame['result']>): void {
    const envelope = result.data as { id?: unknown; data?: unknown } | undefined;
    if (typeof result.id === 'string' && envelope?.id === result.id) {
      this.items.push({ id: result.id, item: envelope.data as TopicItem });
    } else {
      this.#fault ??= new Error(`Wanted a tracked item with one id: current value is ${JSON.stringify(result)}`);
    }
  }

  lose(): void {
    this.end ??= { type: 'lost' };
  }

  #describe(): string {
    const shown = this.items.slice(-20).map(({ id, item }) => `\n  ${id} ${JSON.stringify(item).slice(0, 300)}`);
    return `${this.items.length} items${shown.join('')}`;
  }
}
