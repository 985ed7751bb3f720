import type { Logger } from 'pino';
import type { InFlight } from './transport/in-flight.ts';
import { reconnectFrame, type Sockets } from './transport/sockets.ts';

export interface DrainOptions {
  readonly sockets: Pick<Sockets, 'all'>;
  readonly inFlight: Pick<InFlight, 'count' | 'lastAt'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Everybody has left by then, or is sent away. */
  readonly timeoutMs: number;
  /** @default 100 */
  readonly tickMs?: number;
  /** @default Date.now */
  readonly now?: () => number;
  /** @default Math.random */
  readonly random?: () => number;
}

/** What a drain does when, counted from its start. */
export interface DrainPlan {
  /** Nobody is asked to move before: a load balancer that has not yet noticed would send the client back here. */
  readonly askFromMs: number;
  /** Everybody has been asked by then, each at a moment of its own: all at once would be a storm elsewhere. */
  readonly askUntilMs: number;
  /** Who has not left by now is closed, again each at a moment of its own, the last at `endUntilMs`. */
  readonly endFromMs: number;
  readonly endUntilMs: number;
  /** No call for this long: the load balancer has noticed, and the listener may close. */
  readonly quietMs: number;
  /** Calls that do not stop coming, from somebody who asks no `/readyz`, keep the instance no longer than this. */
  readonly lingerMs: number;
  /** When the drain ends, whatever is left; the rest of the time is for closing. */
  readonly overMs: number;
}

export const drainPlan = (timeoutMs: number): DrainPlan => ({
  askFromMs: Math.min(2_500, timeoutMs * 0.1),
  askUntilMs: timeoutMs * 0.55,
  endFromMs: timeoutMs * 0.7,
  endUntilMs: timeoutMs * 0.88,
  quietMs: Math.min(1_000, timeoutMs * 0.1),
  lingerMs: Math.min(5_000, timeoutMs * 0.5),
  overMs: timeoutMs * 0.92,
});

interface Moments {
  readonly askAtMs: number;
  readonly endAtMs: number;
  asked: boolean;
}

/**
 * Leaves without dropping anyone: each client is asked, at a moment of its own, to open its next connection elsewhere
 * before it leaves this one; calls under way are answered. Resolves when all have gone and no call comes any more, or when
 * the time is over.
 */
export async function drain(options: DrainOptions): Promise<void> {
  const { sockets, inFlight, log, timeoutMs, tickMs = 100, now = Date.now, random = Math.random } = options;
  const plan = drainPlan(timeoutMs);
  const startedAt = now();
  const moments = new Map<object, Moments>();
  let ended = 0;

  const between = (fromMs: number, untilMs: number): number => fromMs + random() * Math.max(0, untilMs - fromMs);

  /** Looked at again and again: a handshake that was under way when the drain began brings its connection later. */
  const askOrEnd = (atMs: number): void => {
    for (const connection of sockets.all) {
      let known = moments.get(connection);
      if (known === undefined) {
        known = {
          askAtMs: between(Math.max(plan.askFromMs, atMs), plan.askUntilMs),
          endAtMs: between(plan.endFromMs, plan.endUntilMs),
          asked: false,
        };
        moments.set(connection, known);
      }
      if (!connection.isOpen) continue;
      if (atMs >= known.endAtMs) {
        connection.end('DRAINING');
        ended += 1;
      } else if (atMs >= known.askAtMs && !known.asked && connection.principal !== null) {
        // Once: older clients answer each with another socket [trpc-wire.md, section 1.2].
        known.asked = true;
        connection.send(reconnectFrame);
      }
    }
  };

  const isEmpty = (atMs: number): boolean => {
    if (sockets.all.size > 0 || inFlight.count > 0) return false;
    const { lastAt } = inFlight;
    return lastAt === null || now() - lastAt >= plan.quietMs || atMs >= plan.lingerMs;
  };

  log.info({ connections: sockets.all.size, calls: inFlight.count, timeoutMs }, 'draining');
  for (;;) {
    const atMs = now() - startedAt;
    askOrEnd(atMs);
    if (isEmpty(atMs)) break;
    if (atMs >= plan.overMs) {
      log.warn({ connections: sockets.all.size, calls: inFlight.count }, 'the time to drain is over');
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(tickMs, timeoutMs / 20)));
  }
  log.info({ connections: moments.size, ended, tookMs: now() - startedAt }, 'drained');
}
