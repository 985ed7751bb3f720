import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Principal } from '@usher/contracts';
import { type Logger, pino } from 'pino';
import { connectRedis } from '../redis/connect.ts';
import type { RedisConnection } from '../redis/connection.ts';

/** Waits until something is so; the test's own time-out ends it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A real redis-server of this test's own. */
export interface TestRedis extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** Stops it where it stands: connections stay, nothing answers. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

export async function startRedis(port?: number, ...settings: string[]): Promise<TestRedis> {
  const taken = port ?? (await freePort());
  const dir = await mkdtemp(join(tmpdir(), 'usher-redis-'));
  const args = [
    '--port',
    `${taken}`,
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    dir,
    ...settings,
  ];
  const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await ready(child);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    await rm(dir, { recursive: true, force: true });
  };
  return {
    port: taken,
    url: `redis://127.0.0.1:${taken}`,
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function ready(child: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk;
      if (said.includes('Ready to accept connections')) resolve();
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`redis-server ended before it was ready: ${said.slice(-500)}`)));
  });
}

/** A wire to Redis that can be told to lose answers, or to be cut. */
export interface TestProxy extends AsyncDisposable {
  readonly url: string;
  /** Questions go through; the next answer is dropped, and its connection with it. */
  loseNextAnswer(): void;
  /** Ends every connection and takes no new one. */
  cut(): void;
  mend(): void;
}

export async function startProxy(target: number): Promise<TestProxy> {
  const sockets = new Set<Socket>();
  let losing = false;
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return void near.destroy();
    const far = connect(target, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    near.on('data', (chunk) => far.write(chunk));
    far.on('data', (chunk) => {
      if (!losing) return void near.write(chunk);
      losing = false;
      near.destroy();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    loseNextAnswer() {
      losing = true;
    },
    cut,
    mend() {
      isCut = false;
    },
    async [Symbol.asyncDispose]() {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A pino logger whose lines can be read back. */
export function captureLog(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  return { log, lines };
}

/** Connects, and waits until Redis answers. */
export async function readyRedis(url: string, keyPrefix = 'usher:'): Promise<RedisConnection & AsyncDisposable> {
  const redis = connectRedis({ urls: [url], keyPrefix, log: captureLog().log });
  await until(() => redis.state === 'ready');
  return Object.defineProperty(redis, Symbol.asyncDispose, { value: redis.close }) as RedisConnection & AsyncDisposable;
}

export const principalOf = (userId: string, more: Partial<Principal> = {}): Principal => ({
  userId,
  sessionId: `session-of-${userId}`,
  scopes: ['publish'],
  topics: ['job:*'],
  expiresAt: null,
  ...more,
});

/** The code a promise is refused with; `null` when it is not. */
export async function refusalOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
    return null;
  } catch (error) {
    return (error as { reason?: unknown }).reason ?? error;
  }
}
