import { type Outcome, type Run, root, run } from './step.ts';

/** Test files that run side by side: each starts its own Redis and servers, and leaves cores to them. */
const parallel = 2;

/** A test that hangs is ended by then; it is no assertion of speed. The preload's default does not reach every file. */
const timeoutMs = 30_000;

/** Runs every test file of the project by Bun's runner. */
export async function runSuite(): Promise<Outcome> {
  const files = [...new Bun.Glob('{contracts,client,server,test,load}/**/*.test.ts').scanSync({ cwd: root })].filter(
    (file) => !file.includes('node_modules/'),
  );
  const { note, ...outcome } = countTests(
    await run([process.execPath, 'test', `--parallel=${parallel}`, `--timeout=${timeoutMs}`], { live: true }),
    files.length,
  );
  if (note !== undefined) console.log(`(fail) tests: ${note}`);
  return outcome;
}

/**
 * Counts by the summary of Bun's runner: unlike its junit file, it counts a test file that cannot be loaded. A run that
 * ended without a summary, left a file out, or failed without a failing test counts as one more failure.
 */
export function countTests({ exitCode, output }: Run, files: number): Outcome & { readonly note?: string } {
  const summary = output.slice([...output.matchAll(/^ *\d+ pass$/gm)].at(-1)?.index ?? output.length);
  const count = (what: string): number => Number(new RegExp(`^ *(\\d+) ${what}$`, 'm').exec(summary)?.[1] ?? 0);
  const ran = Number(/^Ran \d+ tests? across (\d+) files?\./m.exec(summary)?.[1] ?? 0);
  const failed = count('fail');
  const broken = ran !== files || (exitCode !== 0 && failed === 0);
  return {
    name: 'tests',
    passed: count('pass'),
    failed: failed + (broken ? 1 : 0),
    skipped: count('skip') + count('todo'),
    ...(broken && { note: `exit code ${exitCode}, ${ran} of ${files} files ran` }),
  };
}
