import { Finding } from '../finding.ts';
import { upgradeStatus } from '../socket.ts';
import { accepted, type Visit } from '../visit.ts';

/** Tickets that are each opened by another connection than they were issued on. */
const openings = 8;

interface Issued {
  readonly ticket: string;
  readonly expiresAt: number;
  readonly expiresInMs: number;
  readonly path: string;
}

export async function checkTicket(visit: Visit): Promise<string> {
  const { http, callers, options, warn } = visit;
  const answer = await http.send('POST', '/ws-ticket', callers.first);
  const issued = accepted<Issued>(answer, 'POST /ws-ticket');
  if (typeof issued.ticket !== 'string' || issued.path !== '/trpc' || !(issued.expiresInMs > 0)) {
    throw new Finding('POST /ws-ticket answered no ticket with path and expiry');
  }
  if (answer.headers.get('cache-control') !== 'no-store') {
    throw new Finding(
      'The answer with the ticket lacks Cache-Control: no-store',
      'Does a proxy in between rewrite headers?',
    );
  }
  const skewMs = issued.expiresAt - issued.expiresInMs - Date.now();
  if (Math.abs(skewMs) > 5_000) {
    warn(`ticket: the clock there and the clock here are ${Math.round(skewMs / 1_000)} s apart`);
  }
  const path = `/trpc?ticket=${encodeURIComponent(issued.ticket)}`;
  const first = await upgradeStatus(http.url, path, options.timeoutMs);
  if (first !== 101) {
    const hint = 'Does every proxy in between pass upgrades on (HTTP/1.1, headers Upgrade and Connection)?';
    throw new Finding(`An upgrade with a fresh ticket was answered ${first}, not 101`, hint);
  }
  return `good for ${issued.expiresInMs / 1_000} s`;
}

export async function checkOnce({ http, ticket, callers, options, open, connect }: Visit): Promise<string> {
  // Opened and proven: before that a second pass is the same handshake, replayed.
  const used = await ticket(callers.first);
  const socket = await open(used);
  await socket.ping();
  const again = await upgradeStatus(http.url, `/trpc?ticket=${encodeURIComponent(used)}`, options.timeoutMs);
  await socket.close();
  if (again !== 401) throw new Finding(`A ticket that was used was answered ${again}, not 401`);
  const sockets = await Promise.all(Array.from({ length: openings }, () => connect()));
  await Promise.all(sockets.map((opened) => opened.ping()));
  return `a used one is refused, ${openings} of ${openings} opened on another connection than they came on`;
}
