import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

/** Says on what was measured: figures without it mean nothing. */
export function printMachine(): void {
  const gibibytes = (totalmem() / 2 ** 30).toFixed(0);
  const [load = 0] = loadavg();
  const redis = spawnSync('redis-server', ['--version'], { encoding: 'utf8' }).stdout?.match(/v=(\S+)/)?.[1] ?? 'none';
  console.log(`machine   ${availableParallelism()} × ${cpus()[0]?.model.trim()}, ${gibibytes} GiB, Linux ${release()}`);
  console.log(`versions  Bun ${Bun.version}, Redis ${redis}`);
  console.log(`load      ${load.toFixed(2)} over the last minute, before this run\n`);
}

const ticksPerSecond = 100;

/** CPU time a process has used, in µs: all its threads, user and kernel, to 10 ms. */
export function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field, the name, may hold spaces and brackets: count from behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1_000_000;
}

/** Memory a process holds, in bytes. */
export function rssBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1_024;
}
