export interface EventLoopOptions {
  /** @default 500 */
  readonly intervalMs?: number;
  readonly onLag: (seconds: number) => void;
}

export interface EventLoop {
  /** How late the last timer ran, in ms; what is overdue right now counts too. */
  readonly lagMs: number;
  close(): void;
}

/** Measures how late the event loop runs a timer. */
export function watchEventLoop({ intervalMs = 500, onLag }: EventLoopOptions): EventLoop {
  let expected = performance.now() + intervalMs;
  let lagMs = 0;
  const timer = setInterval(() => {
    const at = performance.now();
    lagMs = Math.max(0, at - expected);
    expected = at + intervalMs;
    onLag(lagMs / 1_000);
  }, intervalMs);
  return {
    get lagMs() {
      return Math.max(lagMs, performance.now() - expected);
    },
    close: () => clearInterval(timer),
  };
}
