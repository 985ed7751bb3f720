import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { type Child, spawnChild } from './child.ts';
import { freePort } from './port.ts';
import { eventually } from './wait.ts';

export interface Redis extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Sends one command over a connection of its own. */
  readonly command: (...args: readonly string[]) => Promise<unknown>;
  readonly flush: () => Promise<void>;
  /** Ends it in good order; its port stays closed until `start`. */
  readonly stop: () => Promise<void>;
  /** SIGKILL: what was not on disk is gone. */
  readonly kill: () => Promise<void>;
  /** Starts it again on the same port, with what lies on disk. */
  readonly start: () => Promise<void>;
  /** `keepData` writes a dump before; without it Redis comes back empty. */
  readonly restart: (options: { readonly keepData: boolean }) => Promise<void>;
  /** SIGSTOP: connections stay open and nothing is answered. */
  readonly freeze: () => void;
  readonly thaw: () => void;
}

export interface RedisOptions {
  /** Flags of redis-server besides port, directory and persistence: `['--maxmemory', '10mb']`. @default [] */
  readonly flags?: readonly string[];
  /** Keeps an append-only file, so that a killed one comes back with its data. @default false */
  readonly persist?: boolean;
}

/** Starts a real redis-server on a free port of 127.0.0.1, in a directory of its own. */
export async function startRedis(options: RedisOptions = {}): Promise<Redis> {
  const directory = await mkdtemp(join(tmpdir(), 'usher-redis-'));
  let port = await freePort();
  let child: Child | undefined;

  const command = (...args: readonly string[]): Promise<unknown> => sendCommand(port, args);

  const start = async (): Promise<void> => {
    const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''];
    const persistence = options.persist ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no'];
    // Replicas are served at once instead of after 5 s.
    const replication = ['--repl-diskless-sync-delay', '0'];
    const started = spawnChild(['redis-server', ...fixed, ...persistence, ...replication, ...(options.flags ?? [])]);
    child = started;
    await started.line((line) => line.includes('Ready to accept connections'));
    // A replica or a big append-only file says it is ready and still loads.
    await eventually(async () => (await command('PING')) === 'PONG', { what: `Redis on port ${port}` });
  };

  const kill = async (): Promise<void> => child?.kill();
  const stop = async (): Promise<void> => {
    child?.thaw();
    await child?.stop();
  };

  for (let attempt = 1; ; attempt++) {
    try {
      await start();
      break;
    } catch (error) {
      // Another test process may have taken the port since it was found free.
      const portTaken = child?.lines.some((line) => line.includes('Address already in use'));
      await kill();
      if (!portTaken || attempt === 5) {
        await rm(directory, { recursive: true, force: true });
        throw error;
      }
      port = await freePort();
    }
  }

  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    command,
    start,
    stop,
    kill,
    flush: async () => {
      await command('FLUSHALL');
    },
    restart: async ({ keepData }) => {
      if (keepData) await command('SAVE');
      await kill();
      if (!keepData) {
        await rm(directory, { recursive: true, force: true });
        await mkdir(directory);
      }
      await start();
    },
    freeze: () => child?.freeze(),
    thaw: () => child?.thaw(),
    [Symbol.asyncDispose]: async () => {
      await kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function sendCommand(port: number, args: readonly string[]): Promise<unknown> {
  const client = createClient({
    socket: { host: '127.0.0.1', port, connectTimeout: 5_000, reconnectStrategy: false },
    disableOfflineQueue: true,
  });
  // Failures reach the caller by the command; without a listener they would end the process as well.
  client.on('error', () => {});
  await client.connect();
  try {
    return await client.sendCommand([...args]);
  } finally {
    client.destroy();
  }
}
