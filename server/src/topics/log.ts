import type { ResetReason } from '@usher/contracts';

/** One entry of a log. Its JSON goes from the log to the frame without being parsed. */
export interface Entry {
  readonly position: string;
  /** The event's JSON after position and time: `"name":"output","data":{…}`. */
  readonly tail: string;
}

export interface AppendEntry {
  readonly tail: string;
  readonly idempotencyKey: string | undefined;
}

export interface AppendRequest {
  /** May be empty: to create a topic, or to close it without a last event. */
  readonly entries: readonly AppendEntry[];
  /** JSON of the new state; `undefined` leaves it. */
  readonly state: string | undefined;
  /** Becomes the owner if there is none yet. */
  readonly owner: string | undefined;
  /**
   * `create` does nothing to a topic that is there; `publish` makes the topic if need be; `close` wants it there;
   * `publish-close` appends what may make the topic, and closes it.
   */
  readonly mode: 'create' | 'publish' | 'close' | 'publish-close';
}

export type AppendResult =
  | {
      readonly outcome: 'appended';
      /** The log's end. */
      readonly last: string;
      readonly created: boolean;
      readonly positions: readonly string[];
      readonly duplicates: readonly boolean[];
    }
  /** The topic is closed. */
  | { readonly outcome: 'closed' }
  /** `close` found no topic. */
  | { readonly outcome: 'unknown' }
  /** The topic has another owner. */
  | { readonly outcome: 'owned' };

/** What is known of a topic besides its entries. */
export interface Head {
  /** The log's end; `null` where nothing was ever written down. */
  readonly last: string | null;
  /** Somebody created it or published to it; a reader's first look alone does not make a topic. */
  readonly made: boolean;
  readonly owner: string | null;
  readonly closed: boolean;
}

export interface Snapshot extends Head {
  readonly last: string;
  /** JSON, as it was published. */
  readonly state: string | null;
  /** The last entries, oldest first. */
  readonly entries: readonly Entry[];
}

export interface ProvenContinuation extends Head {
  readonly proven: true;
  readonly last: string;
  /** What follows the position, oldest first; a page of it where there is more. */
  readonly entries: readonly Entry[];
}

export type Continuation =
  | ProvenContinuation
  | { readonly proven: false; readonly reason: Exclude<ResetReason, 'limit'> };

export interface RangeRequest {
  readonly after: string | undefined;
  readonly before: string | undefined;
  readonly limit: number;
  readonly reverse: boolean;
}

export interface Range extends Head {
  readonly entries: readonly Entry[];
  readonly complete: boolean;
}

export interface AppendedMessage {
  readonly kind: 'appended';
  /** The position before the first entry. */
  readonly before: string;
  readonly entries: readonly Entry[];
  readonly state: string | undefined;
  /** Told when somebody makes the topic, and when it gets its owner; `null`: made, and nobody's. */
  readonly owner: string | null | undefined;
  readonly closed: boolean;
}

/** What the live channel of a topic says. */
export type LiveMessage =
  | AppendedMessage
  | { readonly kind: 'deleted' }
  /** JSON `{"joined": Member[], "left": Member[]}`. */
  | { readonly kind: 'presence'; readonly change: string };

/** MUST NOT throw: an append would seem to have failed, or a connection be lost. */
export type LiveListener = (message: LiveMessage) => void;

/**
 * The logs of all topics.
 *
 * An entry keeps the position before it, so that a reader's position is proven by its successor in the log, or by being
 * the log's end; a log that was emptied, trimmed, restored or failed over proves nothing else [design.md, section 6].
 *
 * Every method rejects with `RedisAwayError` when the log cannot be reached; MUST NOT queue.
 */
export interface TopicLog {
  /** MUST be atomic, MUST number by one and never go back in time, MUST append a used idempotency key never again. */
  append(topic: string, request: AppendRequest): Promise<AppendResult>;
  /**
   * MUST give at least one entry when there is one, and stop at `maxEvents` or about `maxBytes`. MUST keep a position
   * that only readers hold alive for as long as they ask.
   */
  read(topic: string, after: string, page: PageLimit): Promise<Continuation>;
  /** `touch` writes down a position for a topic that has none, so that what comes next can be proven. */
  snapshot(topic: string, options: PageLimit & { readonly touch: boolean }): Promise<Snapshot>;
  range(topic: string, request: RangeRequest & { readonly maxBytes: number }): Promise<Range>;
  head(topic: string): Promise<Head>;
  /** MUST leave nothing of the topic behind. */
  delete(topic: string): Promise<boolean>;
  /** MUST NOT deliver to a listener after `unlisten`. Resolves when messages will arrive. */
  listen(topic: string, listener: LiveListener): Promise<void>;
  unlisten(topic: string, listener: LiveListener): void;
  /** Ends what a topic is heard by, and begins it anew, for a listener that heard nothing of what was appended. */
  listenAgain(topic: string): Promise<void>;
}

export interface PageLimit {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

export interface LogLimits {
  /** Entries kept per topic. */
  readonly topicMaxEvents: number;
  /** A topic without appends for this long loses its log and state. */
  readonly topicTtlMs: number;
  /** A closed topic is readable for this long, then gone. */
  readonly topicCloseGraceMs: number;
  /** Idempotency keys remembered per topic, for `topicTtlMs`. @default 10000 */
  readonly maxIdempotencyKeys?: number;
  /** The position of a topic nobody has made is kept this long after a reader last asked. @default 600000 */
  readonly readerTtlMs?: number;
}

/** The end of a topic is remembered for this many times the life of its log, so that resuming outlives the log. */
export const metaTtlFactor = 30;

export const defaultMaxIdempotencyKeys = 10_000;

/** Long enough for a reader to come back, short enough that names anybody may ask for do not fill the store. */
export const defaultReaderTtlMs = 600_000;
