import type { Principal } from '@usher/contracts';
import type { TicketRecord } from './record.ts';

/** Where a pass was answered from; `miss`: malformed, unknown, expired, established or unreadable. */
export type PassSource = 'redis' | 'in_process' | 'redis_consumed' | 'miss';

/** One look at a ticket that was allowed: the right to try to open its connection, once, and soon. */
export interface Pass {
  /** The first 8 hex digits of the ticket's hash, for logs. */
  readonly ticketId: string;
  readonly principal: Principal;
  /** When the ticket was issued, in ms since 1970. */
  readonly issuedAt: number;
  readonly source: Exclude<PassSource, 'miss'>;
  /** The connection must reveal the nonce of the ticket's binding to `open`. */
  readonly needsNonce: boolean;
}

/** What the tickets remember of a pass and nobody else needs to see. */
export interface PassState {
  readonly hash: string;
  readonly record: TicketRecord;
  /** This attempt's unique id; the tombstone holds the winner's. */
  readonly attempt: string;
  /** When the look began, in ms. */
  readonly at: number;
  readonly traceId: string;
}
