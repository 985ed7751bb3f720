import { createHash, timingSafeEqual } from 'node:crypto';
import { UsherError } from '@usher/contracts';
import { RedisAwayError } from '../redis/connection.ts';
import { createConsumed } from './consumed.ts';
import { ticketsNotReady } from './not-ready.ts';
import { createOwed } from './owed.ts';
import type { Pass, PassSource, PassState } from './pass.ts';
import { decodeRecord, type TicketRecord } from './record.ts';
import type { TakenTicket } from './store.ts';
import { hashTicket, isTicketShaped, shortHash } from './ticket.ts';
import type { TicketSettings, Tickets } from './tickets.ts';

export interface PassRequest {
  readonly traceId: string;
  /** The upgrade announced connectionParams, in which the nonce of a binding can come. */
  readonly canReveal: boolean;
}

export interface OpenProof {
  /** The nonce whose SHA-256 the ticket is bound to. */
  readonly nonce?: string;
}

/** `unclaimed`: served from this instance's memory while the store was away. */
export type OpenOutcome = 'established' | 'unclaimed';

export interface Handshake extends Pick<Tickets, 'held' | 'pass' | 'open' | 'close'> {
  sweep(): void;
}

/** A claim whose answer did not come is asked once more; the store knows the attempt again. */
const claimAttempts = 2;

export function createHandshake(settings: TicketSettings): Handshake {
  const { store, log, now, consumedTtlMs, consumedCacheSize, commandTimeoutMs } = settings;
  // The last pass of a ticket comes when its mirror ends, and may be opened for as long again; the rest is for answers
  // on their way. A tombstone that ended earlier would let a pass that was held back open a second connection.
  const lastOpenMs = 2 * consumedTtlMs + 4 * commandTimeoutMs;
  const tombstoneTtlMs = Math.max(settings.establishedTtlMs, lastOpenMs);

  const consumed = createConsumed({ ttlMs: consumedTtlMs, size: consumedCacheSize, now });
  const owed = createOwed({
    store,
    log,
    size: consumedCacheSize,
    keepMs: lastOpenMs,
    tombstoneTtlMs,
    now,
    onLost: settings.onLost,
  });
  /** Passes that have not been opened; they go with the last who holds them. */
  const passes = new WeakMap<Pass, PassState>();
  /** Tickets that are being opened here at this moment. */
  const opening = new Set<string>();
  let closed = false;

  const refuse = (why: string, about: object): never => {
    log.info({ ...about, why }, 'Ticket refused');
    throw new UsherError('TICKET_INVALID');
  };

  const refuseEnded = ({ principal, issuedAt }: TicketRecord): void => {
    if (settings.isRevoked(principal, issuedAt)) throw new UsherError('SESSION_REVOKED');
    if (principal.expiresAt !== null && principal.expiresAt <= now()) throw new UsherError('TOKEN_EXPIRED');
  };

  /** Answers from this process, else from the store. */
  const look = async (hash: string, traceId: string): Promise<[PassSource, TicketRecord | null]> => {
    if (owed.has(hash)) return ['miss', null];
    const known = consumed.get(hash);
    if (known) return ['in_process', known];
    const about = { traceId, ticketId: shortHash(hash) };
    if (!store.ready) throw ticketsNotReady(log, about);
    const at = now();
    let taken: TakenTicket | null;
    try {
      taken = await store.take(hash, consumedTtlMs);
    } catch (cause) {
      // The ticket may be consumed by now, or yet be: then the next pass is answered from its mirror.
      throw ticketsNotReady(log, about, cause);
    }
    if (taken === null) return ['miss', null];
    const decoded = decodeRecord(taken.record);
    if (!decoded.ok) {
      log.error({ ...about, faults: decoded.faults }, 'A ticket record could not be read');
      return ['miss', null];
    }
    // What another instance consumed is not kept: without the store it could not be opened here anyway, and with it the
    // store also knows whether the ticket has been opened since.
    if (taken.from === 'ticket' && !closed) consumed.keep(hash, decoded.record, at);
    return [taken.from === 'ticket' ? 'redis' : 'redis_consumed', decoded.record];
  };

  const claim = async (state: PassState): Promise<'won' | 'lost' | { readonly unknown: unknown }> => {
    let unknown: unknown;
    for (let count = 0; count < claimAttempts && store.ready; count += 1) {
      try {
        return (await store.claim(state.hash, state.attempt, tombstoneTtlMs)) ? 'won' : 'lost';
      } catch (cause) {
        unknown = cause;
        if (cause instanceof RedisAwayError && !cause.ambiguous) break;
      }
    }
    return { unknown };
  };

  /** Opens the ticket of a pass that nobody else is opening here. */
  const openAlone = async (pass: Pass, state: PassState): Promise<OpenOutcome> => {
    const about = { traceId: state.traceId, ticketId: pass.ticketId };
    // Asked before the claim: what decides is that this instance held the record when the connection came.
    const ours = consumed.get(state.hash) !== undefined;
    const answer = await claim(state);
    if (answer === 'won') {
      consumed.drop(state.hash);
      return 'established';
    }
    if (answer === 'lost') {
      consumed.drop(state.hash);
      return refuse('opened before', about);
    }
    if (closed) throw new UsherError('DRAINING');
    if (!ours || !owed.add(pass, state)) throw ticketsNotReady(log, about, answer.unknown);
    consumed.drop(state.hash);
    log.warn({ ...about, err: answer.unknown }, 'Ticket opened unclaimed: Redis went away after the pass');
    return 'unclaimed';
  };

  return {
    get held() {
      return { consumed: consumed.size, owed: owed.size };
    },
    async pass(ticket, { traceId, canReveal }) {
      if (closed) throw new UsherError('DRAINING');
      const at = now();
      const hash = isTicketShaped(ticket) ? hashTicket(ticket) : null;
      const [source, record] = hash === null ? (['miss', null] as const) : await look(hash, traceId);
      settings.onPass(source);
      const about = { traceId, ...(hash !== null && { ticketId: shortHash(hash) }) };
      log.info({ ...about, source }, 'Ticket pass');
      if (hash === null || record === null || source === 'miss') throw new UsherError('TICKET_INVALID');
      refuseEnded(record);
      const needsNonce = record.binding !== undefined;
      if (needsNonce && !canReveal) refuse('bound, and no connectionParams announced', about);
      const { principal, issuedAt } = record;
      const pass: Pass = { ticketId: shortHash(hash), principal, issuedAt, source, needsNonce };
      const attempt = settings.randomBytes(16).toString('base64url');
      passes.set(pass, { hash, record, attempt, at, traceId });
      return pass;
    },
    async open(pass, { nonce } = {}) {
      if (closed) throw new UsherError('DRAINING');
      const about = { ticketId: pass.ticketId };
      const state = passes.get(pass);
      passes.delete(pass);
      if (!state) return refuse('a pass opens once', about);
      if (now() - state.at > consumedTtlMs) return refuse('the handshake took too long', about);
      if (!reveals(state.record.binding, nonce)) return refuse('not the nonce it is bound to', about);
      refuseEnded(state.record);
      if (opening.has(state.hash) || owed.has(state.hash)) return refuse('being opened', about);
      if (opening.size >= consumedCacheSize) throw ticketsNotReady(log, { ...about, traceId: state.traceId });
      opening.add(state.hash);
      try {
        const outcome = await openAlone(pass, state);
        // Again: a revocation that came during the claim has not found the connection among the live ones.
        refuseEnded(state.record);
        settings.onOpen(outcome);
        return outcome;
      } finally {
        opening.delete(state.hash);
      }
    },
    sweep() {
      const evicted = consumed.sweep();
      if (evicted > 0) log.warn({ evicted, size: consumedCacheSize }, 'More tickets consumed than CONSUMED_CACHE_SIZE');
      owed.sweep();
    },
    close() {
      closed = true;
      consumed.clear();
      owed.clear();
    },
  };
}

/** True without a binding; else only for the nonce whose SHA-256 it is. */
function reveals(binding: string | undefined, nonce: string | undefined): boolean {
  if (binding === undefined) return true;
  if (nonce === undefined) return false;
  const wanted = Buffer.from(binding, 'hex');
  const shown = createHash('sha256').update(nonce).digest();
  return wanted.length === shown.length && timingSafeEqual(wanted, shown);
}
