// The gate: `bun run ok` runs all of it, `bun run ok types` only that. The last line it prints counts everything.
import { check, type Outcome, root } from './step.ts';
import { runSuite } from './suite.ts';

const steps: Readonly<Record<string, () => Promise<readonly Outcome[]>>> = {
  lint: async () => [await check('format and lint', ['biome', 'check', '--error-on-warnings', '.'])],
  // Each package by its own: contracts and client know no runtime's types, their tests do (tsconfig.test.json).
  types: () => Promise.all([...new Bun.Glob('*/tsconfig*.json').scanSync({ cwd: root })].sort().map(checkTypes)),
  tests: async () => [await runSuite()],
};

const checkTypes = (config: string): Promise<Outcome> =>
  check(`types by ${config}`, ['tsc', '-p', config, '--noEmit', '--pretty', 'false']);

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(steps, name));
if (unknown.length > 0) {
  console.error(`Wanted some of ${Object.keys(steps).join(', ')}: current value is "${unknown.join(' ')}"`);
  process.exit(2);
}

const outcomes: Outcome[] = [];
for (const [name, step] of Object.entries(steps)) {
  if (wanted.length === 0 || wanted.includes(name)) outcomes.push(...(await step()));
}

const sum = (key: 'passed' | 'failed' | 'skipped'): number => outcomes.reduce((total, it) => total + it[key], 0);
const failing = outcomes.filter(({ failed }) => failed > 0).map(({ name }) => name);
if (failing.length > 0) console.log(`\nfailed: ${failing.join(', ')}`);
if (sum('skipped') > 0) console.log(`\n${sum('skipped')} skipped`);
console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`);
process.exit(sum('failed') === 0 && sum('passed') > 0 ? 0 : 1);
