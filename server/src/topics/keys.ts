/** Every name one topic has in Redis. The hash tag puts them all in one slot, so that one script may touch them all. */
export interface TopicKeys {
  /** Stream: the log. Entry `<ms>-<seq>`, fields `b` (the position before) and `e` (the event's JSON tail). */
  readonly log: string;
  /** Hash: `last`, `owner`, `made`, `closed`. Outlives the log. */
  readonly meta: string;
  /** String: `<position> <json>`, the latest snapshot. */
  readonly state: string;
  /** Hash: idempotency key → position. */
  readonly idempotency: string;
  /** Sorted set: idempotency keys by the time they were used, in 1/1024 ms, so that the oldest can go. */
  readonly idempotencyAges: string;
  /** Hash: connectionId → member. */
  readonly presence: string;
  /** Sorted set: connectionId by the end of its lease, in ms since 1970. */
  readonly presenceLeases: string;
  /** Sharded channel: what is appended, and who comes and goes. */
  readonly live: string;
}

export function topicKeys(prefix: string, topic: string): TopicKeys {
  const root = `${prefix}{${topic}}:`;
  return {
    log: `${root}log`,
    meta: `${root}meta`,
    state: `${root}state`,
    idempotency: `${root}idempotency`,
    idempotencyAges: `${root}idempotency-ages`,
    presence: `${root}presence`,
    presenceLeases: `${root}presence-leases`,
    live: `${root}live`,
  };
}
