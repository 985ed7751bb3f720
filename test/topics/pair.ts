import { type Redis, startRedis } from '../harness/redis.ts';
import { type Server, startServer } from '../harness/server.ts';

export interface Pair extends AsyncDisposable {
  readonly redis: Redis;
  readonly a: Server;
  readonly b: Server;
}

/** Two server processes over one Redis. */
export async function startPair(env: Readonly<Record<string, string>> = {}): Promise<Pair> {
  const redis = await startRedis();
  const servers = await Promise.all([1, 2].map(() => startServer({ env: { REDIS_URL: redis.url, ...env } })));
  const [a, b] = servers as [Server, Server];
  await Promise.all(
    servers.map((server) => server.line((line) => line.includes('"delivery"') && line.includes('ready'))),
  );
  return {
    redis,
    a,
    b,
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
      await redis[Symbol.asyncDispose]();
    },
  };
}
