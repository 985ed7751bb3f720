import * as fs from 'node:fs';

export interface LogSinkOptions {
  /** File descriptor that is written to. @default 1 */
  readonly fd?: number;
  /** Most that waits for a slow reader, in bytes; past it lines are dropped and counted. @default 1048576 */
  readonly maxBufferedBytes?: number;
  /** How long to wait when the descriptor says it takes nothing now, in ms. @default 100 */
  readonly retryMs?: number;
  /** A write that takes longer has a reader that stands still, in ms. @default 1000 */
  readonly stalledAfterMs?: number;
  readonly now?: () => number;
}

/** Where log lines go: the stream pino writes to. */
export interface LogSink {
  /** MUST NOT block and MUST NOT throw. */
  write(line: string): void;
  /** Calls back when all lines written so far are out, or can no longer be. */
  flush(done: () => void): void;
  /** pino calls it after a fatal line, since the process may end in the same tick. */
  flushSync(): void;
}

const maxWriteBytes = 65_536;

/**
 * Writes lines in order, off the event loop. A blocking write to a pipe that nobody reads would stop every connection
 * of this process, and sonic-boom's own asynchronous mode cannot be waited for before an exit.
 */
export function createLogSink(options: LogSinkOptions = {}): LogSink {
  const { fd = 1, maxBufferedBytes = 1_048_576, retryMs = 100, stalledAfterMs = 1_000, now = Date.now } = options;
  const queue: Buffer[] = [];
  const waiting: (() => void)[] = [];
  let bufferedBytes = 0;
  let droppedLines = 0;
  let writingSince: number | null = null;
  let scheduled = false;
  let broken = false;

  function enqueue(line: string): boolean {
    const bytes = Buffer.from(line);
    if (bufferedBytes + bytes.length > maxBufferedBytes) return false;
    bufferedBytes += bytes.length;
    queue.push(bytes);
    return true;
  }

  function schedule(): void {
    if (scheduled || writingSince !== null) return;
    scheduled = true;
    // After this tick: lines of one tick go out in one write, and a fatal line is still here for `flushSync`.
    setImmediate(() => {
      scheduled = false;
      if (writingSince === null) pump();
    });
  }

  function takeBatch(): Buffer {
    let bytes = 0;
    let count = 0;
    while (count < queue.length && bytes < maxWriteBytes) bytes += queue[count++]?.length ?? 0;
    return Buffer.concat(queue.splice(0, count));
  }

  function pump(): void {
    if (queue.length === 0 || broken) {
      for (const done of waiting.splice(0)) done();
      return;
    }
    writingSince = now();
    writeOut(takeBatch());
  }

  function writeOut(batch: Buffer): void {
    fs.write(fd, batch, (error, written) => {
      if (error && (error.code === 'EAGAIN' || error.code === 'EBUSY')) {
        setTimeout(writeOut, retryMs, batch);
        return;
      }
      const rest = error ? null : batch.subarray(written);
      bufferedBytes -= batch.length - (rest?.length ?? 0);
      if (rest && rest.length > 0) {
        writeOut(rest);
        return;
      }
      writingSince = null;
      // EPIPE and the like: nobody reads any more, and there is no place left to say so.
      if (error) broken = true;
      else reportDropped();
      pump();
    });
  }

  function reportDropped(): void {
    if (droppedLines === 0) return;
    const line = JSON.stringify({
      level: 'warn',
      time: now(),
      droppedLines,
      msg: 'log lines were dropped: nobody read them',
    });
    if (enqueue(`${line}\n`)) droppedLines = 0;
  }

  return {
    write(line) {
      if (broken) return;
      if (enqueue(line)) schedule();
      else droppedLines += 1;
    },
    flush(done) {
      if (broken || (queue.length === 0 && writingSince === null)) done();
      else {
        waiting.push(done);
        schedule();
      }
    },
    flushSync() {
      // A reader that stands still would keep the process from ending.
      if (broken || (writingSince !== null && now() - writingSince > stalledAfterMs)) return;
      const rest = Buffer.concat(queue.splice(0));
      bufferedBytes -= rest.length;
      try {
        for (let offset = 0; offset < rest.length; ) offset += fs.writeSync(fd, rest, offset);
      } catch {
        // The process is ending, and its last words have no reader.
      }
    },
  };
}
