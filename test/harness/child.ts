import { eventually, type WaitOptions, within } from './wait.ts';

/** Most lines of output that are kept of one process. */
const maxLines = 20_000;

export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** Lines of stdout and stderr as they came, the last 20,000. */
  readonly lines: readonly string[];
  /** Exit code; 128 plus the signal's number when a signal ended it. */
  readonly exited: Promise<number>;
  readonly isRunning: () => boolean;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Stops it where it stands: connections stay open, nothing is answered. */
  readonly freeze: () => void;
  readonly thaw: () => void;
  /** SIGTERM, waits, answers the exit code. */
  readonly stop: (options?: WaitOptions) => Promise<number>;
  /** SIGKILL, waits. */
  readonly kill: () => Promise<void>;
  /** The first line that the predicate accepts, of those that came or come. */
  readonly line: (accepts: (line: string) => boolean, options?: WaitOptions) => Promise<string>;
}

export interface ChildOptions {
  /** The whole environment; nothing is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

// The kernel ends a child when the test process ends in whatever way, SIGKILL too; where there is no setpriv (not
// Linux), the exit handler below does it for every way but that.
const setpriv = Bun.which('setpriv');
const running = new Set<Bun.Subprocess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a real process that does not outlive the test process. */
export function spawnChild(command: readonly [string, ...string[]], options: ChildOptions = {}): Child {
  const lines: string[] = [];
  const wrapped = setpriv ? [setpriv, '--pdeathsig', 'KILL', ...command] : [...command];
  const child = Bun.spawn(wrapped, {
    env: options.env ?? { PATH: process.env.PATH ?? '' },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  running.add(child);
  const read = Promise.all([collect(child.stdout, lines), collect(child.stderr, lines)]);
  const exited = child.exited.then(async (code) => {
    running.delete(child);
    await within(read, { what: `the output of ${command[0]} to end` }).catch(() => {});
    return code;
  });
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null;
  const signal = (name: NodeJS.Signals): void => {
    if (isRunning()) child.kill(name);
  };
  const kill = async (): Promise<void> => {
    signal('SIGKILL');
    await within(exited, { what: `${command[0]} to be killed` });
  };
  const tail = (): string => `${command[0]}; it printed:\n${lines.slice(-40).join('\n')}`;
  return {
    pid: child.pid,
    lines,
    exited,
    isRunning,
    signal,
    kill,
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    stop: (wait) => {
      signal('SIGTERM');
      return within(exited, { what: () => `the end of ${tail()}`, ...wait });
    },
    line: (accepts, wait) =>
      eventually(
        () => {
          const found = lines.find(accepts);
          if (found === undefined && !isRunning()) throw new Error('It has ended');
          return found ?? false;
        },
        { what: () => `a line of ${tail()}`, ...wait },
      ),
    [Symbol.asyncDispose]: kill,
  };
}

async function collect(stream: ReadableStream<Uint8Array>, lines: string[]): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    if (lines.length > maxLines) lines.splice(0, lines.length - maxLines);
  }
  if (rest) lines.push(rest);
}
