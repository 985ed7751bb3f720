import { expect, test } from 'bun:test';
import { faultKinds } from './faults/fault.ts';
import { readCommandLine } from './options.ts';

test('readCommandLine() takes what is given and fills in the rest', () => {
  const read = readCommandLine(['--seed', '7', '--faults', 'storm,net-cut', '--env', 'A=b=c', '--json'], () => 0);
  expect(read).toMatchObject({ json: true, options: { seed: 7, seconds: 180, faults: ['storm', 'net-cut'] } });
  expect(read).toMatchObject({ options: { env: { A: 'b=c' } } });
  expect(readCommandLine([], () => 5)).toMatchObject({ options: { seed: 5, faults: [...faultKinds] } });
  expect(readCommandLine(['--faults', 'none'])).toMatchObject({ options: { faults: [] } });
});

test.each([
  [['--seconds', '0'], 'seconds'],
  [['--subscribers', '1.5'], 'subscribers'],
  [['--faults', 'earthquake'], 'earthquake'],
  [['--env', 'novalue'], 'novalue'],
  [['--nonsense'], 'nonsense'],
])('readCommandLine() refuses %p and says what was wrong', (args, named) => {
  const read = readCommandLine(args);
  expect(read).toMatchObject({ exitCode: 2 });
  expect((read as { print: string }).print.split('\n')[0]).toContain(named);
});

test('--help names every kind of fault', () => {
  const read = readCommandLine(['--help']) as { print: string; exitCode: number };
  expect(read.exitCode).toBe(0);
  for (const kind of faultKinds) expect(read.print).toContain(kind);
});
