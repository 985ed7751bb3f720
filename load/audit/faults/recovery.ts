import { pause } from '../call.ts';
import type { Publisher } from '../publishers/publisher.ts';
import type { Crowd } from '../readers/crowd.ts';

export interface RecoveryOptions {
  readonly crowd: Crowd;
  /** Publishes the event that everybody must have seen. */
  readonly publisher: Publisher;
  readonly topics: readonly string[];
  /** Waited for at most this long. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/**
 * Publishes one event to each topic and waits until every reader has come that far and every socket is served: from now
 * until then the service recovers. Gives the seconds, or who is still behind.
 */
export async function awaitRecovery(
  options: RecoveryOptions,
): Promise<{ readonly seconds: number } | { readonly behind: readonly string[] }> {
  const { crowd, publisher, topics, patienceMs, signal } = options;
  const startedAt = performance.now();
  const marks = new Map<string, string>();
  await Promise.all(
    topics.map(async (topic) => {
      const position = await publisher.publish({ topic, events: [{ name: 'mark', data: {} }], withState: true });
      if (position !== null) marks.set(topic, position);
    }),
  );
  const isBehind = (reading: Crowd['readings'][number]): boolean => {
    const mark = marks.get(reading.topic);
    return mark !== undefined && !reading.reached(mark);
  };
  let behind = crowd.readings.filter(isBehind);
  while (behind.length > 0 || crowd.unserved.length > 0) {
    if (signal.aborted || performance.now() - startedAt > patienceMs) {
      const readers = behind.map(({ who, topic, position }) => `${who} ${topic} at ${position}`);
      return { behind: [...readers, ...crowd.unserved.map((who) => `${who} is not served`)] };
    }
    await pause(20, signal);
    behind = behind.filter(isBehind);
  }
  return { seconds: (performance.now() - startedAt) / 1_000 };
}
