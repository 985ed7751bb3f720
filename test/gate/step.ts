import { delimiter, join, resolve } from 'node:path';

export const root = resolve(import.meta.dir, '../..');

/** What one step counts for in the last line. */
export interface Outcome {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface Run {
  readonly exitCode: number;
  /** stdout and stderr as they came. */
  readonly output: string;
}

export interface RunOptions {
  /** Shows the output while it comes, and not only when the step fails. @default false */
  readonly live?: boolean;
}

/** Runs a program of node_modules/.bin or of PATH at the root. */
export async function run(command: readonly string[], { live = false }: RunOptions = {}): Promise<Run> {
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}${delimiter}${process.env.PATH}` },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  let output = '';
  const take = async (stream: ReadableStream<Uint8Array>, to: NodeJS.WriteStream): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      output += decoder.decode(chunk, { stream: true });
      if (live) to.write(chunk);
    }
  };
  await Promise.all([take(child.stdout, process.stdout), take(child.stderr, process.stderr)]);
  return { exitCode: await child.exited, output };
}

/** Runs a program that is one check: it passes or it fails, and shows its output only then. */
export async function check(name: string, command: readonly string[]): Promise<Outcome> {
  const { exitCode, output } = await run(command);
  console.log(exitCode === 0 ? `(pass) ${name}` : `${output}\n(fail) ${name}: exit code ${exitCode}`);
  return { name, passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 };
}
