import { type Logger, pino } from 'pino';
import { createLogSink, type LogSink } from './log-sink.ts';
import { redactLine } from './redact.ts';

/** pino's logger; `log.child({ traceId })` for what belongs to one request. */
export type Log = Logger;

export interface LogOptions {
  /** Least severe level that is written. @default 'info' */
  readonly level?: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  /** Where lines go. @default standard output */
  readonly sink?: Pick<LogSink, 'write'> & Partial<LogSink>;
  /** Stands in every line, such as `instanceId`. @default {} */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** Makes the logger of a process: one JSON object a line, without tickets, tokens, keys and cookies. */
export function createLog(options: LogOptions = {}): Log {
  return pino(
    {
      level: options.level ?? 'info',
      base: { pid: process.pid, ...options.fields },
      formatters: { level: (label) => ({ level: label }) },
      // The finished line is looked at, so that no depth of nesting, no message and no stack gets past.
      hooks: { streamWrite: redactLine },
    },
    options.sink ?? createLogSink(),
  );
}

/** Waits until the lines written so far are out, but never longer than `timeoutMs`; call it before the process ends. */
export function flushLog(log: Log, { timeoutMs = 1_000 }: { readonly timeoutMs?: number } = {}): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    log.flush(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
