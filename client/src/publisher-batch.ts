import type { Published } from '@usher/contracts';
import type { UsherError } from './errors.ts';

/** One event on its way. */
export interface OutgoingEvent {
  /** `name:id`. */
  readonly topic: string;
  readonly name: string;
  /** @default {} */
  readonly data?: unknown;
  /** The new latest state, written with the event. */
  readonly state?: unknown;
  /** Who may read the topic; given with its first event. */
  readonly owner?: string;
  /** The same key never makes two entries. @default a new one */
  readonly idempotencyKey?: string;
  /** `false`: while the log is away, deliver to the instance's own subscribers only. @default true */
  readonly durable?: boolean;
}

/** An event that waits for its answer. */
export interface Entry {
  readonly event: OutgoingEvent;
  /** Length of its data as JSON. */
  readonly chars: number;
  settle(outcome: Published | UsherError): void;
}

export interface BatchLimits {
  readonly maxBatchEvents: number;
  readonly maxBatchChars: number;
}

/**
 * How many entries go together: up to the limits, of one owner and one durability, and none after one that brings a
 * state, since a request has one state and it is that of its end.
 */
export function batchLength(entries: readonly Entry[], { maxBatchEvents, maxBatchChars }: BatchLimits): number {
  const first = entries[0]?.event;
  let chars = 0;
  let length = 0;
  for (const { event, chars: more } of entries) {
    chars += more;
    if (length === maxBatchEvents || event.owner !== first?.owner || event.durable !== first?.durable) break;
    // One that is too long by itself goes alone, and the server says so.
    if (length > 0 && chars > maxBatchChars) break;
    length += 1;
    if (event.state !== undefined) break;
  }
  return length;
}

/** The input of `topic.publishMany` for entries that go together. */
export function batchInput(entries: readonly Entry[]) {
  const { topic = '', owner, durable } = entries[0]?.event ?? {};
  return {
    topic,
    owner,
    durable,
    state: entries.at(-1)?.event.state,
    events: entries.map(({ event: { name, data = {}, idempotencyKey } }) => ({ name, data, idempotencyKey })),
  };
}
