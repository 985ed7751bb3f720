import type { Logger } from 'pino';

export interface SampledLogOptions {
  readonly log: LeveledLog;
  /** Lines of one message and second that are written; the rest is counted. @default 20 */
  readonly linesPerSecond?: number;
  /** Told how many lines were not written. */
  readonly onSuppressed?: (lines: number) => void;
}

/** The levels that are used beside each other; only `info` is sampled. */
type LeveledLog = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

interface Window {
  written: number;
  suppressed: number;
}

/**
 * A log for paths that are taken a thousand times a second: of each message so many lines a second are written at level
 * info, and then one that says how many more there were. A line costs 5 us, which nobody misses; a thousand a second are
 * 18 GB a day, which somebody pays for [docs/operating.md, Logs].
 */
export function createSampledLog(options: SampledLogOptions): LeveledLog {
  const { log, linesPerSecond = 20, onSuppressed = () => {} } = options;
  // As many as there are messages in the source: they are constants.
  const windows = new Map<string, Window>();

  const close = (message: string, window: Window): void => {
    windows.delete(message);
    if (window.suppressed === 0) return;
    onSuppressed(window.suppressed);
    log.info({ suppressed: window.suppressed }, message);
  };

  const info = (...line: Parameters<Logger['info']>): void => {
    const message = String(line.find((part) => typeof part === 'string') ?? '');
    let window = windows.get(message);
    if (window === undefined) {
      const opened: Window = { written: 0, suppressed: 0 };
      window = opened;
      windows.set(message, opened);
      setTimeout(() => close(message, opened), 1_000);
    }
    if (window.written < linesPerSecond) {
      window.written += 1;
      log.info(...line);
    } else {
      window.suppressed += 1;
    }
  };

  return {
    debug: log.debug.bind(log),
    info: info as Logger['info'],
    warn: log.warn.bind(log),
    error: log.error.bind(log),
  };
}
