import { afterAll, beforeAll, describe, expect } from 'bun:test';
import { type Redis, startRedis } from '../harness/redis.ts';
import { type Server, startServer } from '../harness/server.ts';
import { testSecret } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';

export type Kind = 'Bun, memory' | 'Bun, Redis' | 'Deno, memory' | 'Deno, Redis';

export interface EachServerOptions {
  /** @default memory and Redis on Bun, and memory on Deno */
  readonly kinds?: readonly Kind[];
  /** @default {} */
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs the same tests against real server processes of each kind; `server` is there inside of tests. */
export function onEachServer(
  define: (server: () => Server, kind: Kind) => void,
  options: EachServerOptions = {},
): void {
  for (const kind of options.kinds ?? ['Bun, memory', 'Bun, Redis', 'Deno, memory']) {
    describe(kind, () => {
      let redis: Redis | undefined;
      let server: Server | undefined;
      beforeAll(async () => {
        if (kind.endsWith('Redis')) redis = await startRedis();
        server = await startServer({
          runtime: kind.startsWith('Deno') ? 'deno' : 'bun',
          env: { ...(redis && { REDIS_URL: redis.url }), ...options.env },
        });
        if (redis) await isReady(server);
      });
      afterAll(async () => {
        const lines = server?.lines ?? [];
        await server?.kill();
        await redis?.[Symbol.asyncDispose]();
        expect(lines.filter((line) => line.includes('A promise was left alone'))).toEqual([]);
        expectNoSecrets(lines);
      });
      define(() => {
        if (server === undefined) throw new Error('The server is there only while a test runs');
        return server;
      }, kind);
    });
  }
}

/** Fails if a ticket, a JWT or the secret of the tests stands in any of these lines. */
export function expectNoSecrets(lines: readonly string[]): void {
  expect(lines.filter((line) => /ut1_\w|eyJ\w|Bearer \w/.test(line) || line.includes(testSecret))).toEqual([]);
}

/** A server with Redis listens before it has connected. */
export async function isReady(server: Server): Promise<void> {
  await eventually(async () => (await fetch(`${server.url}/readyz`)).status === 200, { what: 'readiness' });
}
