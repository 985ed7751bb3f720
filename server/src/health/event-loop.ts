export interface EventLoopOptions {
  /** @default 200 */
  readonly intervalMs?: number;
  /** Told how late each timer was. */
  readonly onLag: (seconds: number) => void;
}

export interface EventLoop {
  /** The most a timer was late in the last seconds, in ms; what is overdue right now counts too. */
  readonly lagMs: number;
  close(): void;
}

/** A stall is remembered for so many timers: who asks only now and then must not find the one moment that was good. */
const remembered = 25;

/** Measures how late the event loop runs a timer. */
export function watchEventLoop({ intervalMs = 200, onLag }: EventLoopOptions): EventLoop {
  const lags: number[] = [];
  let expected = performance.now() + intervalMs;
  const timer = setInterval(() => {
    const at = performance.now();
    const lagMs = Math.max(0, at - expected);
    expected = at + intervalMs;
    lags.push(lagMs);
    if (lags.length > remembered) lags.shift();
    onLag(lagMs / 1_000);
  }, intervalMs);
  return {
    get lagMs() {
      return Math.max(0, ...lags, performance.now() - expected);
    },
    close: () => clearInterval(timer),
  };
}
