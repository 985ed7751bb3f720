import { type TrackedEnvelope, tracked } from '@trpc/server';
import { type TopicItem, UsherError } from '@usher/contracts';
import { join } from '../hub/join.ts';
import { refuseAway } from './away.ts';
import { ItemQueue } from './item-queue.ts';
import type { Subscription } from './subscription.ts';

export interface IterateOptions {
  readonly maxQueuedItems: number;
  readonly maxQueuedBytes: number;
  readonly onSlow: () => void;
}

/** Serves a subscription item by item: over server-sent events, and to callers in this process. */
export async function* iterate(
  subscription: Subscription,
  signal: AbortSignal,
  options: IterateOptions,
): AsyncGenerator<TrackedEnvelope<TopicItem>, void> {
  const { channel, input, join: joinOptions, watchOwner } = subscription;
  const queue = new ItemQueue({ maxItems: options.maxQueuedItems, maxBytes: options.maxQueuedBytes });
  const over = new AbortController();
  const stops: (() => void)[] = [];
  const detach = (): void => {
    for (const stop of stops.splice(0)) stop();
  };
  const stop = (): void => {
    over.abort();
    queue.end();
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();

  const attach = (): void => {
    const item = (raw: Parameters<ItemQueue['push']>[0]): void => {
      if (!queue.isFull) return queue.push(raw);
      detach();
      options.onSlow();
      queue.end(new UsherError('SLOW_CONSUMER'));
    };
    stops.push(channel.read({ presence: input.presence, history: input.history, item }));
    stops.push(channel.onEnd(() => queue.end()));
    stops.push(
      watchOwner(() => {
        detach();
        queue.end(new UsherError('TOPIC_UNKNOWN'));
      }),
    );
  };
  const joiner = {
    signal: over.signal,
    emit(raw: Parameters<ItemQueue['push']>[0]) {
      queue.push(raw);
      return queue.room();
    },
    attach,
  };
  const joining = join(joiner, joinOptions).then(
    // One who did not get to join has reached the end.
    () => stops.length === 0 && queue.end(),
    (cause: unknown) => queue.end(cause),
  );
  try {
    for (;;) {
      const item = await queue.next().catch(refuseAway);
      if (item === undefined || signal.aborted) return;
      yield tracked(item.id, JSON.parse(item.json) as TopicItem);
    }
  } finally {
    stop();
    signal.removeEventListener('abort', stop);
    detach();
    await joining;
  }
}
