import { UsherError } from '@usher/contracts';
import type { TicketLog } from './tickets.ts';

/**
 * The one answer when the store cannot be asked: nothing is known of the ticket, so it is not called invalid. The log
 * line is fixed by wire.md.
 */
export function ticketsNotReady(
  log: TicketLog,
  about: { readonly traceId: string; readonly sessionId?: string; readonly ticketId?: string },
  cause?: unknown,
): UsherError {
  log.warn(cause === undefined ? about : { ...about, err: cause }, '[WSTicket] Redis client not available');
  return new UsherError('WS_TICKET_REDIS_NOT_READY', { cause });
}
