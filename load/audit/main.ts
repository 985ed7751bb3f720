import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runAudit } from './audit.ts';
import { readCommandLine } from './options.ts';
import { describeReport, isClean } from './report.ts';

const commandLine = readCommandLine(process.argv.slice(2));
if ('print' in commandLine) {
  console[commandLine.exitCode === 0 ? 'log' : 'error'](commandLine.print);
  process.exit(commandLine.exitCode);
}
const { options, json, logs } = commandLine;
const say = (line: string): void => {
  if (!json) console.log(line);
};
say(`seed ${options.seed}: ${options.subscribers} readers, ${options.instances} instances, ${options.seconds} s`);
const printed = new Map<string, readonly string[]>();
const report = await runAudit({ ...options, onProgress: say }, (name, lines) => printed.set(name, lines));
if (logs !== undefined) {
  await mkdir(logs, { recursive: true });
  for (const [name, lines] of printed) await writeFile(join(logs, `${name}.log`), `${lines.join('\n')}\n`);
}
console.log(json ? JSON.stringify(report, null, 2) : `\n${describeReport(report)}`);
process.exit(isClean(report) ? 0 : 1);
