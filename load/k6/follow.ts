import { clearTimeout, setTimeout } from 'k6/timers';
import { connectMs, failures, Ledger, unfinished } from './ledger.ts';
import { Reader } from './wire.ts';

export interface FollowOptions {
  readonly token: string | null;
  readonly topics: readonly string[];
  /** When it is too late to go on waiting, in ms since 1970. */
  readonly deadline: number;
  /** When to cut the connection and come back, in ms since 1970. @default [] */
  readonly cutsAt?: readonly number[];
  /** Told how long it took to be subscribed again after a cut. */
  readonly backAfter?: (ms: number) => void;
}

/** Subscribes over one connection until each topic has told its last event. The iteration ends with it. */
export function follow({ token, topics, deadline, cutsAt = [], backAfter }: FollowOptions): void {
  const ledger = new Ledger(topics);
  let connections = 0;
  const reader = new Reader({
    token,
    topics,
    item(topic, item) {
      ledger.take(topic, item);
      if (ledger.complete) finish();
    },
    live(afterMs) {
      connectMs.add(afterMs);
      connections += 1;
      if (connections > 1) backAfter?.(afterMs);
    },
    failed: (reason) => failures.add(1, { reason }),
  });
  const cuts = cutsAt.map((at) => setTimeout(() => reader.cut(), Math.max(0, at - Date.now())));
  const late = setTimeout(() => {
    unfinished.add(1);
    finish();
  }, deadline - Date.now());
  function finish(): void {
    reader.close();
    clearTimeout(late);
    for (const cut of cuts) clearTimeout(cut);
  }
}
