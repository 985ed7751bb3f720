import { afterEach, beforeEach, expect, jest, test } from 'bun:test';
import { createSampledLog } from './sampled-log.ts';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function record() {
  const lines: unknown[] = [];
  const suppressed: number[] = [];
  const write = (about: object, message: string) => void lines.push({ ...about, message });
  const log = createSampledLog({
    log: { debug: write, info: write, warn: write, error: write } as never,
    linesPerSecond: 2,
    onSuppressed: (count) => suppressed.push(count),
  });
  return { log, lines, suppressed };
}

test('so many lines of a message are written in a second, and then how many more there were', () => {
  const { log, lines, suppressed } = record();
  for (let at = 0; at < 5; at += 1) log.info({ at }, 'pass');
  log.info({}, 'another');
  expect(lines).toEqual([{ at: 0, message: 'pass' }, { at: 1, message: 'pass' }, { message: 'another' }]);
  jest.advanceTimersByTime(1_000);
  expect(lines.slice(3)).toEqual([{ suppressed: 3, message: 'pass' }]);
  expect(suppressed).toEqual([3]);
});

test('the next second is written again, and a quiet one says nothing', () => {
  const { log, lines } = record();
  log.info({ at: 1 }, 'pass');
  jest.advanceTimersByTime(1_000);
  log.info({ at: 2 }, 'pass');
  jest.advanceTimersByTime(5_000);
  expect(lines).toEqual([
    { at: 1, message: 'pass' },
    { at: 2, message: 'pass' },
  ]);
});

test('warnings and errors are all written', () => {
  const { log, lines } = record();
  for (let at = 0; at < 5; at += 1) {
    log.warn({ at }, 'pass');
    log.error({ at }, 'pass');
  }
  expect(lines).toHaveLength(10);
});
