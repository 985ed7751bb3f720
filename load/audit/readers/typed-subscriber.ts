import { createUsher } from '@usher/client';
import type { Random } from '../random.ts';
import type { Reading } from './reading.ts';

export interface TypedSubscriberOptions {
  /** Where a load balancer would be. */
  readonly url: string;
  readonly token: string;
  readonly random: Random;
  readonly readings: readonly Reading[];
  readonly signal: AbortSignal;
  /** Told when the client goes over to polling, and when it comes back. */
  readonly onFallback: () => void;
  readonly onRestore: () => void;
  /** Told when the client stops reading a topic for good. */
  readonly onError: (reading: Reading, code: string) => void;
}

/** Reads topics as an app does: by the typed client, with waits short enough for an audit. */
export function startTypedSubscriber(options: TypedSubscriberOptions): void {
  const { url, token, random, readings, signal } = options;
  const usher = createUsher({
    url,
    token,
    random: random.next,
    retry: { initialMs: 100, maxMs: 1_500 },
    breaker: { openMs: 1_000 },
    healthyAfterMs: 1_000,
    heartbeat: { intervalMs: 2_000, pongTimeoutMs: 3_000, openTimeoutMs: 3_000 },
    fallback: { afterMs: 3_000 },
    onFallback: options.onFallback,
    onRestore: options.onRestore,
    polling: { waitMs: 1_000, minIntervalMs: 50, timeoutMs: 5_000 },
  });
  for (const reading of readings) {
    const id = reading.topic.slice(reading.topic.indexOf(':') + 1);
    usher.topic('public', id).subscribe({
      onItem: (item, lastEventId) => reading.take(lastEventId, item),
      onError: ({ code }) => options.onError(reading, code),
    });
  }
  signal.addEventListener('abort', () => usher.close());
}
