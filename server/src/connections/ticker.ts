export interface TickerOptions {
  /** Time from the end of one run to the start of the next, in ms; up to a tenth less, so that instances spread. */
  readonly everyMs: number;
  readonly run: () => Promise<void>;
  /** Told what a run failed with; the next one comes all the same. */
  readonly onError: (cause: unknown) => void;
  /** @default Math.random */
  readonly random?: () => number;
}

/** Does one thing again and again, never twice at once. */
export interface Ticker {
  /** Runs now, or once more when the run under way has ended. */
  kick(): void;
  /** Ends it; resolves when the run under way has ended. */
  close(): Promise<void>;
}

export function createTicker(options: TickerOptions): Ticker {
  const { everyMs, run, onError, random = Math.random } = options;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> | null = null;
  let again = false;
  let closed = false;

  const schedule = (): void => {
    timer = setTimeout(start, everyMs * (1 - random() / 10));
  };

  const start = (): void => {
    clearTimeout(timer);
    running = run()
      .catch(onError)
      .then(() => {
        running = null;
        if (closed) return;
        if (!again) return schedule();
        again = false;
        start();
      });
  };

  schedule();
  return {
    kick() {
      if (closed) return;
      if (running !== null) again = true;
      else start();
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await running;
    },
  };
}
