import type { Clock } from './clock.ts';

/** Time that goes only when a test says so. */
export interface FakeClock extends Clock {
  /** Lets `ms` pass: each timer due runs in its order, and what it started runs before the next. */
  advance(ms: number): Promise<void>;
  /** Timers that wait. */
  readonly waiting: number;
}

/** Lets everything run that can run without time passing. */
export async function settle(turns = 5): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export function createFakeClock(): FakeClock {
  let now = 1_000;
  let last = 0;
  const timers = new Map<number, { readonly at: number; readonly run: () => void }>();
  return {
    now: () => now,
    after(delayMs, run) {
      last += 1;
      const id = last;
      timers.set(id, { at: now + delayMs, run });
      return () => timers.delete(id);
    },
    get waiting() {
      return timers.size;
    },
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const due = [...timers].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
        if (!due) break;
        const [id, { at, run }] = due;
        timers.delete(id);
        now = Math.max(now, at);
        run();
        await settle();
      }
      now = end;
    },
  };
}
