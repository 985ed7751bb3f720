import { resolve } from 'node:path';
import { spawnChild } from '../harness/child.ts';
import { within } from '../harness/wait.ts';

export const root = resolve(import.meta.dir, '../..');

/** The first with `k6/websockets`; setup.mjs asks for it too. */
const least = '1.6.0';
const runTimeoutMs = 120_000;

const isRecent = (program: string): boolean => {
  const { stdout } = Bun.spawnSync([program, 'version'], { stderr: 'ignore' });
  const version = /\d+\.\d+\.\d+/.exec(stdout.toString())?.[0];
  return version !== undefined && Bun.semver.order(version, least) >= 0;
};

const candidates = [Bun.which('k6'), Bun.which(resolve(root, '.usher/k6/k6'))];

/** k6 of PATH, or the one `node setup.mjs need k6` installs; `null` where there is none. */
export const k6 = candidates.find((program) => program !== null && isRecent(program)) ?? null;

/** Runs k6 at the root with this environment and no other. */
export async function runK6(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ exitCode: number; output: string }> {
  if (k6 === null) throw new Error('There is no k6 here');
  const quiet = { K6_NO_USAGE_REPORT: 'true', K6_NO_COLOR: 'true' };
  await using child = spawnChild([k6, ...args], {
    cwd: root,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...quiet, ...env },
  });
  const what = (): string => `k6 ${args.join(' ')}; it printed:\n${child.lines.slice(-60).join('\n')}`;
  const exitCode = await within(child.exited, { timeoutMs: runTimeoutMs, what });
  return { exitCode, output: child.lines.join('\n') };
}
