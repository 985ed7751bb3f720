import { randomUUID } from 'node:crypto';
import { type Principal, UsherError, upgradePaths } from '@usher/contracts';
import type { OriginPolicy } from '../auth/origin.ts';
import type { Peer, Upgrade } from '../runtime/runtime.ts';
import type { Pass } from '../tickets/pass.ts';
import type { Tickets } from '../tickets/tickets.ts';
import type { Connection } from './connection.ts';
import type { ConnectionParams } from './serve.ts';
import type { Sockets } from './sockets.ts';

export interface UpgradeOptions {
  readonly sockets: Sockets;
  readonly tickets: Tickets;
  readonly isAllowedOrigin: OriginPolicy;
  /** Who an upgrade with credentials of its own, or with authentication disabled, is; `null` without any. */
  readonly authenticateRequest: (request: RequestFacts) => Promise<Principal | null>;
  /** Takes a place among the user's connections; gives the way to leave it. @throws UsherError CONNECTION_LIMIT */
  readonly admit: (connection: Connection, principal: Principal, issuedAt: number) => Promise<() => void>;
  /** Milliseconds to wait while the instance leaves; `null` while it stays. */
  readonly drainingForMs: () => number | null;
}

/** What is read of a request before it is upgraded. */
export interface RequestFacts {
  readonly request: Request;
  readonly url: URL;
  readonly traceId: string;
  readonly address: string | null;
}

export interface Upgrader {
  /** Refuses before the upgrade whatever can be refused there. @throws UsherError */
  take(facts: RequestFacts, peer: Peer): Promise<Upgrade>;
  /** Finishes the handshake on the open socket. @throws UsherError */
  finish(connection: Connection, params: ConnectionParams): Promise<Principal>;
  /** Another instance opened the ticket of a connection that was opened here unclaimed: this one goes. */
  lost(pass: Pass): void;
}

/** How a connection came to its right; decided before the upgrade, finished after it. */
type Right =
  | { readonly kind: 'principal'; readonly principal: Principal }
  | { readonly kind: 'pass'; readonly pass: Pass }
  | { readonly kind: 'params' };

const maxUrlLength = 4_096;

/** What RFC 6455, section 4.2.1, asks of a handshake besides `Upgrade`: 16 bytes of key, and the one version there is. */
const isHandshake = ({ method, headers }: Request): boolean =>
  method === 'GET' &&
  headers.get('sec-websocket-version') === '13' &&
  /^[A-Za-z\d+/]{22}==$/.test(headers.get('sec-websocket-key') ?? '') &&
  /(^|[\s,])upgrade($|[\s,])/i.test(headers.get('connection') ?? '');

export function createUpgrader(options: UpgradeOptions): Upgrader {
  const { sockets, tickets } = options;
  const rights = new WeakMap<Connection, Right>();
  /** Connections opened while their claim could not be written. */
  const unclaimed = new WeakMap<Pass, Connection>();

  const rightOf = async (facts: RequestFacts, awaitsParams: boolean): Promise<Right> => {
    const given = facts.url.searchParams.getAll('ticket');
    if (given.length > 1) throw new UsherError('TICKET_INVALID');
    const [ticket] = given;
    if (ticket !== undefined) {
      const pass = await tickets.pass(ticket, { traceId: facts.traceId, canReveal: awaitsParams });
      return { kind: 'pass', pass };
    }
    const principal = await options.authenticateRequest(facts);
    if (principal !== null) return { kind: 'principal', principal };
    if (awaitsParams) return { kind: 'params' };
    throw new UsherError('UNAUTHORIZED', { message: 'A ticket or a bearer token is required' });
  };

  const admit = async (connection: Connection, principal: Principal, issuedAt = connection.since): Promise<void> =>
    connection.hold(await options.admit(connection, principal, issuedAt));

  const open = async (connection: Connection, pass: Pass, nonce: string | undefined): Promise<void> => {
    const outcome = await tickets.open(pass, nonce === undefined ? {} : { nonce });
    if (outcome === 'unclaimed') unclaimed.set(pass, connection);
  };

  return {
    async take(facts) {
      const { request, url, traceId, address } = facts;
      if (!(upgradePaths as readonly string[]).includes(url.pathname)) throw new UsherError('WRONG_PATH');
      // Before a ticket is consumed: the runtimes differ in what they refuse, and none says it in our words.
      if (!isHandshake(request)) throw new UsherError('BAD_REQUEST', { message: 'Wanted a WebSocket handshake' });
      const retryAfterMs = options.drainingForMs();
      if (retryAfterMs !== null) throw new UsherError('DRAINING', { retryAfterMs });
      if (request.url.length > maxUrlLength) throw new UsherError('BAD_REQUEST', { message: 'The url is too long' });
      const origin = request.headers.get('origin');
      if (origin !== null && !options.isAllowedOrigin(origin, url)) throw new UsherError('ORIGIN_NOT_ALLOWED');

      const awaitsParams = url.searchParams.get('connectionParams') === '1';
      const connection = sockets.make(randomUUID(), {
        // The ticket has done its work, and nothing behind this needs to see it.
        url: awaitsParams ? `${url.pathname}?connectionParams=1` : url.pathname,
        headers: { host: url.host },
        traceId,
        address,
        awaitsParams,
      });
      try {
        const right = await rightOf(facts, awaitsParams);
        rights.set(connection, right);
        if (right.kind === 'principal') await admit(connection, right.principal);
        else if (right.kind === 'pass') await admit(connection, right.pass.principal, right.pass.issuedAt);
      } catch (error) {
        connection.close(1006);
        throw error;
      }
      return { upgrade: connection, headers: { 'X-Trace-Id': traceId } };
    },

    async finish(connection, params) {
      const right = rights.get(connection);
      rights.delete(connection);
      if (right === undefined) throw new UsherError('INTERNAL');
      if (right.kind === 'principal') return right.principal;
      const nonce = params?.nonce;
      if (right.kind === 'pass') {
        await open(connection, right.pass, nonce);
        return right.pass.principal;
      }
      const ticket = params?.ticket;
      if (ticket === undefined) throw new UsherError('UNAUTHORIZED', { message: 'A ticket is required' });
      const pass = await tickets.pass(ticket, { traceId: connection.request.traceId, canReveal: nonce !== undefined });
      await open(connection, pass, nonce);
      await admit(connection, pass.principal, pass.issuedAt);
      return pass.principal;
    },

    lost(pass) {
      unclaimed.get(pass)?.refuse(new UsherError('TICKET_INVALID'));
    },
  };
}
