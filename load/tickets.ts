/** Tickets and handshakes: each arrival is a new user that asks for a ticket and opens a connection. RATE a second, SECONDS. */
import type { Options } from 'k6/options';
import { handshake } from './k6/handshake.ts';
import { seatNumber } from './k6/seat-number.ts';
import { runName, setting, systemTags } from './k6/settings.ts';
import { tally } from './k6/tally.ts';
import { manyUsers, tokenFor } from './k6/token.ts';
import { issueTicket } from './k6/wire.ts';

const perSecond = setting('RATE', 100);
const seconds = setting('SECONDS', 20);
/** Every so many arrivals a used ticket is tried again. */
const reuseEvery = 10;

export const options: Options = {
  systemTags: [...systemTags],
  thresholds: {
    usher_admitted: ['rate>0.999'],
    usher_ticket_ms: ['p(95)<250'],
    usher_handshake_ms: ['p(95)<500'],
    usher_reused_tickets: ['count==0'],
    // Arrivals that k6 could not start in time, because those before took too long.
    dropped_iterations: [`count<=${Math.ceil(perSecond * seconds * 0.01)}`],
    iterations: [`count>=${Math.floor(perSecond * seconds * 0.98)}`],
  },
  scenarios: {
    arrivals: {
      executor: 'constant-arrival-rate',
      exec: 'arrive',
      rate: perSecond,
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: Math.min(perSecond, 100),
      maxVUs: Math.max(100, perSecond * 2),
      gracefulStop: '60s',
    },
  },
};

interface Run {
  readonly run: string;
}

export function setup(): Run {
  if (!manyUsers) console.warn('Without JWT_SECRET all arrivals are one user: TICKETS_PER_MINUTE must allow them');
  return { run: runName() };
}

export async function arrive({ run }: Run): Promise<void> {
  const arrival = seatNumber();
  const token = tokenFor(`${run}-${arrival}`);
  const askedMs = Date.now();
  const issued = await issueTicket(token);
  if (issued.data === null) {
    tally.refusals.add(1, { reason: issued.reason || 'none' });
    tally.admitted.add(false);
    return;
  }
  const issuedMs = Date.now();
  tally.ticketMs.add(issuedMs - askedMs);
  const { path, ticket } = issued.data;
  const isIn = await handshake(path, ticket);
  tally.admitted.add(isIn);
  if (!isIn) return;
  tally.handshakeMs.add(Date.now() - issuedMs);
  if (arrival % reuseEvery === 0 && (await handshake(path, ticket))) tally.reusedTickets.add(1);
}
