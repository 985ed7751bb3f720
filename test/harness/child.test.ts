import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnChild } from './child.ts';
import { eventually } from './wait.ts';

/** A zombie, which nobody has asked for its exit code, is not alive. */
const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

test('spawnChild() collects lines of both streams and the exit code', async () => {
  await using child = spawnChild(['sh', '-c', 'echo out; echo err >&2; printf last; exit 7']);
  expect(await child.exited).toBe(7);
  expect([...child.lines].sort()).toEqual(['err', 'last', 'out']);
});

test('line() fails with what was printed when the process ends first', async () => {
  await using child = spawnChild(['sh', '-c', 'echo something else']);
  await expect(child.line((line) => line === 'wanted', { timeoutMs: 500 })).rejects.toThrow('something else');
});

test('stop() sends SIGTERM and answers the exit code', async () => {
  await using child = spawnChild(['sh', '-c', 'trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done']);
  await child.line((line) => line === 'ready');
  expect(await child.stop()).toBe(3);
});

test('a child does not outlive its test process, not even one that is killed', async () => {
  const script = `
    import { spawnChild } from ${JSON.stringify(join(import.meta.dir, 'child.ts'))};
    console.log(spawnChild(['sleep', '600']).pid);
    setInterval(() => {}, 1_000);
  `;
  const parent = spawnChild([process.execPath, '-e', script]);
  const pid = Number(await parent.line((line) => /^\d+$/.test(line)));
  expect(isAlive(pid)).toBe(true);
  await parent.kill();
  await eventually(() => !isAlive(pid), { what: 'the child to be gone' });
});
