import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { Counter, Gauge, type Registry } from 'prom-client';

const startedAtSeconds = Math.round(Date.now() / 1_000 - process.uptime());

/**
 * What Prometheus' own dashboards and alerts expect of a process, under the names they expect. prom-client's default set
 * is not used: on Bun most of it is zero, and it starts observers that nobody reads.
 */
export function addProcessMetrics(registry: Registry): void {
  const registers = [registry];
  let countedSeconds = 0;
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time spent',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      const seconds = (user + system) / 1_000_000;
      this.inc(Math.max(0, seconds - countedSeconds));
      countedSeconds = seconds;
    },
  });
  const gauge = (name: string, help: string, read: () => number | null): void => {
    // Where the system does not tell, no series is better than one that says 0.
    if (read() === null) return;
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const value = read();
        if (value !== null) this.set(value);
      },
    });
  };
  gauge('process_start_time_seconds', 'Start of the process, since 1970', () => startedAtSeconds);
  gauge('process_resident_memory_bytes', 'Resident memory', () => process.memoryUsage().rss);
  gauge('process_heap_used_bytes', 'Memory of the JavaScript heap in use', () => process.memoryUsage().heapUsed);
  gauge('process_open_fds', 'Open files and sockets', openFiles);
  gauge('process_max_fds', 'Most open files and sockets', () => maxFiles);
}

/** `null` where the system does not tell. */
function openFiles(): number | null {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return null;
  }
}

const maxFiles = readMaxFiles();

function readMaxFiles(): number | null {
  try {
    const line = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return line?.[1] === undefined ? null : Number(line[1]);
  } catch {
    return null;
  }
}
