import type { Redis } from '../../test/harness/redis.ts';
import { type Server, startServer } from '../../test/harness/server.ts';
import { eventually } from '../../test/harness/wait.ts';

/** Starts the service on this Redis, and waits until it has it: it listens before. */
export async function startInstance(redis: Redis, env: Readonly<Record<string, string>> = {}): Promise<Server> {
  // One publisher stands for many.
  const server = await startServer({ env: { REDIS_URL: redis.url, PUBLISHES_PER_SECOND: '1000000', ...env } });
  await eventually(async () => (await fetch(`${server.url}/readyz`)).ok, { what: 'the service to be ready' });
  return server;
}
