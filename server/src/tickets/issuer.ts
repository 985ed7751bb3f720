import { type Principal, type TicketsPort, UsherError, upgradePaths } from '@usher/contracts';
import { within } from '../redis/line.ts';
import { ticketsNotReady } from './not-ready.ts';
import { encodeRecord } from './record.ts';
import { hashTicket, mintTicket, shortHash } from './ticket.ts';
import type { TicketSettings } from './tickets.ts';

/** What the tickets need of the rate limiter. */
export interface TicketRateLimiter {
  take(
    key: string,
    options: { readonly limit: number; readonly windowMs: number },
  ): Promise<{ readonly ok: boolean; readonly retryAfterMs: number }>;
}

export interface Issuer extends TicketsPort {
  close(): void;
}

export function createIssuer(settings: TicketSettings): Issuer {
  const { store, log, rateLimiter, commandTimeoutMs, now } = settings;
  let closed = false;

  /** Both questions share one budget: two that are each answered late would be a caller who waits twice. */
  const limitAndPut = (principal: Principal, hash: string, record: string): Promise<void> => {
    let late = false;
    const work = async (): Promise<void> => {
      const rule = { limit: settings.ticketsPerMinute, windowMs: 60_000 };
      const rate = await rateLimiter?.take(`ticket:${principal.userId}`, rule);
      if (rate && !rate.ok) {
        throw new UsherError('RATE_LIMITED', { message: 'Too many tickets', retryAfterMs: rate.retryAfterMs });
      }
      // A put whose answer does not come leaves a ticket nobody knows, which ends by itself.
      if (!late) await store.put(hash, record, settings.ticketTtlMs);
    };
    return within(work(), commandTimeoutMs, () => {
      late = true;
      return new Error(`No ticket within ${commandTimeoutMs} ms`);
    });
  };

  return {
    async issue(principal, input, traceId) {
      if (closed) throw new UsherError('DRAINING');
      const about = { traceId, sessionId: principal.sessionId };
      if (!store.ready) throw ticketsNotReady(log, about);
      const ticket = mintTicket(settings.randomBytes);
      const hash = hashTicket(ticket);
      const issuedAt = now();
      const expiresAt = issuedAt + settings.ticketTtlMs;
      const binding = input.binding?.toLowerCase();
      const record = encodeRecord({ v: 1, principal, issuedAt, expiresAt, ...(binding !== undefined && { binding }) });
      await limitAndPut(principal, hash, record).catch((cause: unknown) => {
        throw cause instanceof UsherError ? cause : ticketsNotReady(log, about, cause);
      });
      settings.onIssue();
      log.debug({ traceId, ticketId: shortHash(hash), userId: principal.userId }, 'Ticket issued');
      return { ticket, expiresAt, expiresInMs: settings.ticketTtlMs, path: upgradePaths[0] };
    },
    close() {
      closed = true;
    },
  };
}
