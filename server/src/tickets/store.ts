/** What a look at a ticket found: the ticket itself, which is gone now, or the mirror an earlier look left. */
export interface TakenTicket {
  readonly from: 'ticket' | 'mirror';
  readonly record: string;
}

/**
 * Where tickets live between the instance that issues and the one that opens. A ticket is `issued`, then `consumed` (its
 * mirror lives on for a while), then `established` (a tombstone). `hash` is the ticket's SHA-256 in hex.
 *
 * Every method MUST settle within the store's command timeout, MUST reject at once while `ready` is false, and MUST NOT
 * queue. It rejects with `RedisAwayError`, whose `ambiguous` says that the command may have been carried out.
 * MUST NOT be given the ticket itself.
 */
export interface TicketStore {
  /** Whether the store can be asked; read before each use, it costs nothing. */
  readonly ready: boolean;

  /** Keeps a record for `ttlMs`. */
  put(hash: string, record: string, ttlMs: number): Promise<void>;

  /**
   * Looks at a ticket. MUST, in one step, remove the ticket and leave its mirror for `mirrorTtlMs`: exactly one caller
   * is given it `from: 'ticket'`. Later callers MUST be given the mirror while it lives, which a look MUST NOT prolong.
   * `null`: unknown, expired or established.
   */
  take(hash: string, mirrorTtlMs: number): Promise<TakenTicket | null>;

  /**
   * Claims the ticket's only connection for `attempt` and leaves a tombstone for `tombstoneTtlMs`. MUST be true for one
   * attempt only, and true again for that same attempt, so that a claim whose answer was lost can be asked again. MUST
   * remove ticket and mirror in the same step.
   */
  claim(hash: string, attempt: string, tombstoneTtlMs: number): Promise<boolean>;

  /** Called each time the store becomes ready; gives the way to stop. */
  onReady(listener: () => void): () => void;
}
