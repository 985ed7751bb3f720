import { resolve } from 'node:path';
import { type Child, spawnChild } from './child.ts';
import { testSecret } from './tokens.ts';
import type { WaitOptions } from './wait.ts';

const root = resolve(import.meta.dir, '../..');

/** As deno.json and the Dockerfile grant them. */
const denoPermissions = ['--allow-net', '--allow-env', '--allow-read', '--allow-sys'];

/** One line of the server's log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Server extends Child {
  readonly url: string;
  readonly wsUrl: string;
  readonly port: number;
  /** The JSON lines of its output so far. */
  readonly logs: () => readonly LogLine[];
  /** The first log line that the predicate accepts, of those that came or come. */
  readonly log: (accepts: (line: LogLine) => boolean, options?: WaitOptions) => Promise<LogLine>;
}

export interface ServerOptions {
  /** Variables of wire.md on top of the harness' own: `{ REDIS_URL: redis.url }`. @default {} */
  readonly env?: Readonly<Record<string, string>>;
  /** @default 'bun' */
  readonly runtime?: 'bun' | 'deno';
}

/** Starts `server/src/main.ts` as a process of its own and waits until it listens. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const child = launch(options);
  try {
    const listening = parseLine(await child.line((line) => parseLine(line)?.msg === 'listening'));
    const url = String(listening?.url);
    const logs = (): readonly LogLine[] => child.lines.map(parseLine).filter((line) => line !== null);
    return {
      ...child,
      url,
      wsUrl: url.replace(/^http/, 'ws'),
      port: Number(new URL(url).port),
      logs,
      log: async (accepts, wait) => {
        const line = await child.line((text) => {
          const parsed = parseLine(text);
          return parsed !== null && accepts(parsed);
        }, wait);
        return JSON.parse(line) as LogLine;
      },
    };
  } catch (error) {
    await child.kill();
    throw error;
  }
}

/** Starts it where it is expected to end by itself, as with a wrong configuration. */
export async function runServer(options: ServerOptions): Promise<{ exitCode: number; output: string }> {
  await using child = launch(options);
  const exitCode = await child.exited;
  return { exitCode, output: child.lines.join('\n') };
}

function launch({ env = {}, runtime = 'bun' }: ServerOptions): Child {
  const command: readonly [string, ...string[]] =
    runtime === 'bun'
      ? [process.execPath, 'server/src/main.ts']
      : ['deno', 'run', '--conditions=bun', ...denoPermissions, 'server/src/main.ts'];
  return spawnChild(command, {
    cwd: root,
    // HOME and PATH for Deno's cache and program; nothing else of the environment decides how a server behaves.
    env: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '',
      HOST: '127.0.0.1',
      PORT: '0',
      JWT_SECRET: testSecret,
      ...env,
    },
  });
}

function parseLine(text: string): LogLine | null {
  if (!text.startsWith('{')) return null;
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return null;
  }
}
