import { createClient } from 'redis';
import { within } from './line.ts';
import { ownTimeouts } from './single.ts';
import { parseSlots, type SlotRange } from './slots.ts';

/** How long one node may take to say who has which slot. */
const askTimeoutMs = 1_000;

/** The url of another node of the same cluster: user, password and TLS are those of the first. */
export function nodeUrl(first: string, host: string, port: number): string {
  const { protocol, username, password } = new URL(first);
  const user = username || password ? `${username}:${password}@` : '';
  return `${protocol}//${user}${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Asks one node over a connection of its own, which may be a replica. */
export async function askSlots(url: string): Promise<readonly SlotRange[]> {
  const client = createClient({
    url,
    disableOfflineQueue: true,
    commandOptions: ownTimeouts,
    socket: { connectTimeout: askTimeoutMs, reconnectStrategy: false },
    maintNotifications: 'disabled',
  });
  // Failures reach the caller by the promise; without a listener they would end the process as well.
  client.on('error', () => {});
  const end = (): void => {
    try {
      client.destroy();
    } catch {
      // It never opened, or has ended: there is nothing left of it either way.
    }
  };
  const ask = async (): Promise<unknown> => {
    try {
      await client.connect();
      return await client.sendCommand(['CLUSTER', 'SLOTS']);
    } finally {
      // Destroyed while its socket was still connecting, node-redis keeps the socket when it is there.
      end();
    }
  };
  try {
    return parseSlots(await answered(ask()), new URL(url).hostname);
  } finally {
    end();
  }
}

/** Bounds the wait for one node's answer. */
export const answered = (asked: Promise<unknown>): Promise<unknown> =>
  within(asked, askTimeoutMs, () => new Error(`No answer to CLUSTER SLOTS within ${askTimeoutMs} ms`));
