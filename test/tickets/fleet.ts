import { expect } from 'bun:test';
import { get, issueTicket, type Target } from '../harness/http.ts';
import { type Server, type ServerOptions, startServer } from '../harness/server.ts';
import { mintToken } from '../harness/tokens.ts';
import { isReady } from '../wire/each-server.ts';

/** Tickets that were given out, to be looked for where they must not be. */
export class Tickets {
  readonly #given: string[] = [];

  async issue(target: Target, userId: string): Promise<string> {
    const ticket = await issueTicket(target, await mintToken({ userId }));
    this.#given.push(ticket);
    return ticket;
  }

  /** Fails if any of them stands in any line of these processes. */
  expectUnseen(processes: readonly { readonly lines: readonly string[] }[]): void {
    for (const { lines } of processes) {
      const output = lines.join('\n');
      expect(output.length).toBeGreaterThan(0);
      for (const ticket of this.#given) expect(output.includes(ticket.slice(4))).toBe(false);
    }
  }
}

/** A server that logs all it ever says, and lets one user do what a crowd does. */
export async function startInstance(
  env: Readonly<Record<string, string>>,
  options: Omit<ServerOptions, 'env'> = {},
): Promise<Server> {
  const crowd = { LOG_LEVEL: 'trace', TICKETS_PER_MINUTE: '100000', MAX_CONNECTIONS_PER_USER: '100000' };
  return startServer({ ...options, env: { ...crowd, ...env } });
}

export async function startReady(
  env: Readonly<Record<string, string>>,
  options: Omit<ServerOptions, 'env'> = {},
): Promise<Server> {
  const server = await startInstance(env, options);
  await isReady(server);
  return server;
}

/** Values of a metric by its one label, over several instances. */
export async function metricByLabel(targets: readonly Target[], name: string): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const target of targets) {
    const { text } = await get(target, '/metrics');
    for (const [, label, value] of text.matchAll(new RegExp(`^${name}\\{\\w+="(\\w+)"\\} (\\d+)$`, 'gm'))) {
      sums[label as string] = (sums[label as string] ?? 0) + Number(value);
    }
  }
  return Object.fromEntries(Object.entries(sums).filter(([, value]) => value > 0));
}

export const passes = (...targets: readonly Target[]) => metricByLabel(targets, 'usher_ticket_passes_total');
export const opens = (...targets: readonly Target[]) => metricByLabel(targets, 'usher_ticket_opens_total');
