import { freePort } from '../../../test/harness/port.ts';
import { type Server, startServer } from '../../../test/harness/server.ts';
import { eventually } from '../../../test/harness/wait.ts';
import type { Random } from '../random.ts';
import { type Relay, startRelay } from './relay.ts';

/** One server process, on a port it keeps over its lives, and its own way to Redis. */
export interface Instance {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  /** What stands between it and Redis. */
  readonly redis: Relay;
  /** New clients are sent here. */
  readonly isUp: boolean;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM, and the wait until it has left; gives the exit code, `null` where it had to be killed. */
  leave(): Promise<number | null>;
  start(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** The lines it printed, of all its lives. */
  readonly lines: () => readonly string[];
}

export interface Fleet extends AsyncDisposable {
  readonly instances: readonly Instance[];
  /** One of those that are up, as a load balancer would choose; any when none is. */
  any(random: Random): Instance;
}

export interface FleetOptions {
  readonly size: number;
  /** How many of them run under Deno. */
  readonly deno: number;
  readonly redisPort: number;
  /** Variables of all instances besides port and Redis. */
  readonly env: Readonly<Record<string, string>>;
}

/** Lines kept of the ended lives of one instance. */
const maxLines = 20_000;

/** How long a server that was asked to leave may take, besides its own drain timeout. */
const leaveTimeoutMs = 40_000;

export async function startFleet({ size, deno, redisPort, env }: FleetOptions): Promise<Fleet> {
  const instances = await Promise.all(
    Array.from({ length: size }, (_, at) => startInstance(`s${at + 1}`, at < deno ? 'deno' : 'bun')),
  );

  async function startInstance(name: string, runtime: 'bun' | 'deno'): Promise<Instance> {
    const port = await freePort();
    const redis = await startRelay({
      target: () => redisPort,
      isSubscription: (chunk) => chunk.includes('SSUBSCRIBE'),
    });
    const past: string[] = [];
    let server: Server | null = null;
    let isUp = false;
    const bury = (): void => {
      past.push(...(server?.lines ?? []));
      if (past.length > maxLines) past.splice(0, past.length - maxLines);
      server = null;
    };
    const start = async (): Promise<void> => {
      const started = await startServer({
        runtime,
        env: { ...env, PORT: String(port), REDIS_URL: `redis://127.0.0.1:${redis.port}` },
      });
      server = started;
      // A load balancer sends nobody to a server that is not ready; one whose Redis is away may take its time.
      await eventually(async () => (await fetch(`${started.url}/readyz`)).ok, { timeoutMs: 10_000 }).catch(() => {});
      isUp = true;
    };
    await start();
    return {
      name,
      url: `http://127.0.0.1:${port}`,
      port,
      redis,
      get isUp() {
        return isUp;
      },
      start,
      async kill() {
        isUp = false;
        await server?.kill();
        bury();
      },
      async leave() {
        isUp = false;
        const left = server;
        const exitCode = await left?.stop({ timeoutMs: leaveTimeoutMs }).catch(() => null);
        await left?.kill();
        bury();
        return exitCode ?? null;
      },
      freeze: () => server?.freeze(),
      thaw: () => server?.thaw(),
      lines: () => [...past, ...(server?.lines ?? [])],
    };
  }

  return {
    instances,
    any(random) {
      const up = instances.filter((instance) => instance.isUp);
      return random.pick(up.length > 0 ? up : instances);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(
        instances.map(async (instance) => {
          await instance.kill();
          await instance.redis[Symbol.asyncDispose]();
        }),
      );
    },
  };
}
