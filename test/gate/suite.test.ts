import { expect, test } from 'bun:test';
import { countTests } from './suite.ts';

const summary = (...counts: string[]) =>
  `(pass) a\n\n ${counts.join('\n ')}\n 3 expect() calls\nRan 5 tests across 2 files. [6.00ms]\n`;

test('countTests() takes the counts of the summary', () => {
  const run = { exitCode: 1, output: summary('1 pass', '1 skip', '1 todo', '2 fail', '1 error') };
  expect(countTests(run, 2)).toEqual({ name: 'tests', passed: 1, failed: 2, skipped: 2 });
});

test('countTests() is not misled by a summary that a test printed', () => {
  const run = { exitCode: 1, output: `${summary('99 pass', '0 fail')}\n${summary('1 pass', '1 fail')}` };
  expect(countTests(run, 2)).toMatchObject({ passed: 1, failed: 1 });
});

test('countTests() counts a failure when the runner ended without a summary', () => {
  expect(countTests({ exitCode: 139, output: '(pass) a\n' }, 2)).toMatchObject({ passed: 0, failed: 1 });
});

test('countTests() counts a failure when a file was left out, or the exit code says so alone', () => {
  expect(countTests({ exitCode: 0, output: summary('5 pass', '0 fail') }, 3)).toMatchObject({ passed: 5, failed: 1 });
  expect(countTests({ exitCode: 1, output: summary('5 pass', '0 fail') }, 2)).toMatchObject({ passed: 5, failed: 1 });
  expect(countTests({ exitCode: 0, output: summary('5 pass', '0 fail') }, 2)).toMatchObject({ passed: 5, failed: 0 });
});
