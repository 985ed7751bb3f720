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

  const limit = async (principal: Principal): Promise<void> => {
    if (!rateLimiter) return;
    const { ok, retryAfterMs } = await within(
      rateLimiter.take(`ticket:${principal.userId}`, { limit: settings.ticketsPerMinute, windowMs: 60_000 }),
      commandTimeoutMs,
      () => new Error(`The rate limiter gave no answer within ${commandTimeoutMs} ms`),
    );
    if (!ok) throw new UsherError('RATE_LIMITED', { message: 'Too many tickets for this user', retryAfterMs });
  };

  return {
    async issue(principal, input, traceId) {
      if (closed) throw new UsherError('DRAINING');
      const about = { traceId, sessionId: principal.sessionId };
      if (!store.ready) throw ticketsNotReady(log, about);
      await limit(principal).catch((cause: unknown) => {
        if (cause instanceof UsherError) throw cause;
        throw ticketsNotReady(log, about, cause);
      });
      const ticket = mintTicket(settings.randomBytes);
      const hash = hashTicket(ticket);
      const issuedAt = now();
      const expiresAt = issuedAt + settings.ticketTtlMs;
      const binding = input.binding?.toLowerCase();
      const record = encodeRecord({ v: 1, principal, issuedAt, expiresAt, ...(binding !== undefined && { binding }) });
      // A put whose answer does not come leaves a ticket nobody knows, which ends by itself.
      await store.put(hash, record, settings.ticketTtlMs).catch((cause: unknown) => {
        throw ticketsNotReady(log, about, cause);
      });
      settings.onIssue();
      log.debug({ traceId, ticket: shortHash(hash), userId: principal.userId }, 'Ticket issued');
      return { ticket, expiresAt, expiresInMs: settings.ticketTtlMs, path: upgradePaths[0] };
    },
    close() {
      closed = true;
    },
  };
}
