// Checks a deployed Usher from outside: bun run doctor --help
import { callersOf } from './caller.ts';
import { diagnose, type StepResult } from './doctor.ts';
import { createHttp } from './http.ts';
import { readArguments } from './options.ts';

const marks = { passed: 'ok', failed: 'FAIL', 'left out': '-' } as const;

function show({ name, outcome, text, hint }: StepResult): void {
  console.log(`${marks[outcome].padEnd(6)}${name.padEnd(13)}${text}`);
  if (hint !== null) console.log(`${''.padEnd(19)}hint: ${hint}`);
}

const read = readArguments(process.argv.slice(2), process.env);
if (read.kind === 'help') {
  console.log(read.text);
  process.exit(0);
}
if (read.kind === 'misuse') {
  console.error(read.text);
  process.exit(64);
}

const { options } = read;
const parts = { http: createHttp(options.url, options.timeoutMs), callers: callersOf(options) };
if (!options.json) console.log(`usher doctor at ${options.url}\n`);
const { steps, warnings } = await diagnose(options, parts, options.json ? () => {} : show);
const count = (outcome: StepResult['outcome']): number => steps.filter((step) => step.outcome === outcome).length;
const summary = { passed: count('passed'), failed: count('failed'), leftOut: count('left out') };
if (options.json) {
  console.log(JSON.stringify({ url: options.url, ...summary, steps, warnings }, null, 2));
} else {
  for (const warning of warnings) console.log(`\nwarning: ${warning}`);
  console.log(`\n${summary.passed} passed, ${summary.failed} failed, ${summary.leftOut} left out`);
}
process.exit(summary.failed === 0 ? 0 : 1);
