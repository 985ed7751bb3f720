import type { Logger } from 'pino';
import { reconnectFrame, type Sockets } from './transport/sockets.ts';

export interface DrainOptions {
  readonly sockets: Sockets;
  readonly log: Logger;
  /** Everybody has left by then, or is sent away. */
  readonly timeoutMs: number;
  readonly random?: () => number;
}

/** Clients are asked to move over this share of the time there is; the rest is for those who take long. */
const windowShare = 0.5;

/**
 * Leaves without dropping anyone: each client is asked, at a moment of its own, to open its next connection elsewhere
 * before it leaves this one. Resolves when all have gone, or at the deadline, when those who stayed are closed with 1012.
 */
export async function drain({ sockets, log, timeoutMs, random = Math.random }: DrainOptions): Promise<void> {
  const total = sockets.all.size;
  log.info({ connections: total }, 'draining');
  if (total === 0) return;
  const windowMs = timeoutMs * windowShare;
  const timers = new Set<ReturnType<typeof setTimeout>>();
  for (const connection of sockets.all) {
    timers.add(setTimeout(() => connection.send(reconnectFrame), random() * windowMs));
  }
  await new Promise<void>((resolve) => {
    timers.add(setTimeout(resolve, timeoutMs));
    sockets.onClosed(() => {
      if (sockets.all.size === 0) resolve();
    });
  });
  for (const timer of timers) clearTimeout(timer);
  if (sockets.all.size === 0) return;
  log.warn({ connections: sockets.all.size }, 'clients that did not move are closed');
  for (const connection of [...sockets.all]) connection.end('DRAINING');
  // The closing handshakes get a moment; whoever does not answer is cut.
  await new Promise((resolve) => setTimeout(resolve, 250));
}
