import { randomBytes } from 'node:crypto';
// The global one gives a number under Deno, which cannot be told not to hold the process.
import { clearInterval, setInterval } from 'node:timers';
import { limits, type Principal, type TicketsPort } from '@usher/contracts';
import type { Logger } from 'pino';
import { createHandshake, type OpenOutcome, type OpenProof, type PassRequest } from './handshake.ts';
import { createIssuer, type TicketRateLimiter } from './issuer.ts';
import type { Pass, PassSource } from './pass.ts';
import type { TicketStore } from './store.ts';

export type TicketLog = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export interface TicketsOptions {
  readonly store: TicketStore;
  readonly log: TicketLog;
  /** Bounds how many tickets a user gets; none: no bound. */
  readonly rateLimiter?: TicketRateLimiter;
  /** Whether this right was taken back after the ticket was issued; asked at pass and at open. */
  readonly isRevoked?: (principal: Principal, issuedAt: number) => boolean;
  /** Counts an issued ticket. */
  readonly onIssue?: () => void;
  /** Counts a pass by where its answer came from; not called when nothing could be known. */
  readonly onPass?: (source: PassSource) => void;
  /** Counts an opened connection. */
  readonly onOpen?: (outcome: OpenOutcome) => void;
  /** A connection that was opened unclaimed has a twin on another instance: close it. */
  readonly onLost?: (pass: Pass) => void;
  /** Life of a ticket, in ms. @default 30000 */
  readonly ticketTtlMs?: number;
  /** How long a handshake may go on after its first pass, in ms. @default 10000 */
  readonly consumedTtlMs?: number;
  /** How often what is over is cleared out, in ms. @default 5000 */
  readonly consumedSweepMs?: number;
  /** Most consumed tickets remembered in the process, and most claims owed. @default 10000 */
  readonly consumedCacheSize?: number;
  /** Life of the tombstone, in ms; raised to what `consumedTtlMs` needs. @default 60000 */
  readonly establishedTtlMs?: number;
  /** Tickets a user may be issued in a minute. @default 60 */
  readonly ticketsPerMinute?: number;
  /** How long issuing may take in all, in ms; give the store the same for its looks and claims. @default 500 */
  readonly commandTimeoutMs?: number;
  /** @default Date.now */
  readonly now?: () => number;
  /** MUST be cryptographic. @default node:crypto's randomBytes */
  readonly randomBytes?: (size: number) => Buffer;
}

export type TicketSettings = Required<Omit<TicketsOptions, 'rateLimiter'>> & Pick<TicketsOptions, 'rateLimiter'>;

/** One-time tickets: issued to a caller, passed before the upgrade, opened after it. */
export interface Tickets extends TicketsPort {
  /** What is remembered in the process. */
  readonly held: { readonly consumed: number; readonly owed: number };
  /**
   * Looks at a ticket before the upgrade, and consumes it.
   *
   * @throws UsherError TICKET_INVALID, SESSION_REVOKED, TOKEN_EXPIRED, WS_TICKET_REDIS_NOT_READY, DRAINING
   */
  pass(ticket: string, request: PassRequest): Promise<Pass>;
  /**
   * Claims the ticket's one connection after the upgrade; park its frames until this has answered, at most twice
   * `commandTimeoutMs`. A pass can be opened once.
   *
   * @throws UsherError TICKET_INVALID, SESSION_REVOKED, TOKEN_EXPIRED, WS_TICKET_REDIS_NOT_READY, DRAINING
   */
  open(pass: Pass, proof?: OpenProof): Promise<OpenOutcome>;
  /** Ends the sweep; from then on everything is refused with DRAINING. */
  close(): void;
}

export const ticketDefaults = Object.freeze({
  isRevoked: () => false,
  onIssue: () => {},
  onPass: () => {},
  onOpen: () => {},
  onLost: () => {},
  ticketTtlMs: limits.ticketTtlMs,
  consumedTtlMs: limits.consumedTtlMs,
  consumedSweepMs: limits.consumedSweepMs,
  consumedCacheSize: limits.consumedCacheSize,
  establishedTtlMs: limits.establishedTtlMs,
  ticketsPerMinute: limits.ticketsPerMinute,
  commandTimeoutMs: 500,
  now: Date.now,
  randomBytes,
});

export function createTickets(options: TicketsOptions): Tickets {
  // An option that is present and undefined means its default, as in a destructuring.
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const settings: TicketSettings = { ...ticketDefaults, ...(given as unknown as TicketsOptions) };
  const issuer = createIssuer(settings);
  const handshake = createHandshake(settings);
  const sweep = setInterval(handshake.sweep, settings.consumedSweepMs);
  // A process that has nothing else to do may end.
  sweep.unref();

  return {
    get held() {
      return handshake.held;
    },
    issue: issuer.issue,
    pass: handshake.pass,
    open: handshake.open,
    close() {
      clearInterval(sweep);
      issuer.close();
      handshake.close();
    },
  };
}
