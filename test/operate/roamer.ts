import { issueTicket, type Target } from '../harness/http.ts';
import { openRaw, type RawClient } from '../harness/raw-client.ts';
import type { RawItem, RawSubscription } from '../harness/raw-subscription.ts';

/** A subscriber of one topic that speaks the wire by hand, moves when it is asked to and comes back when it is lost. */
export interface Roamer extends AsyncDisposable {
  /** The numbers in the events it was given, in the order they came. */
  readonly seen: readonly number[];
  /** What it was told besides events, and whatever went wrong. */
  readonly told: readonly string[];
  readonly isConnected: () => boolean;
}

interface Stay {
  readonly client: RawClient;
  readonly subscription: RawSubscription;
}

const retryMs = 200;
const readEveryMs = 5;
const patienceMs = 120_000;

const isReconnect = (frame: unknown): boolean => (frame as { method?: string } | null)?.method === 'reconnect';

export function startRoamer(target: Target, token: string, topic: string): Roamer {
  const seen: number[] = [];
  const told: string[] = [];
  let lastEventId: string | undefined;
  let current: RawClient | null = null;
  let over = false;

  const open = async (): Promise<Stay> => {
    for (;;) {
      try {
        const client = await openRaw(target, { ticket: await issueTicket(target, token) });
        const subscription = client.subscribe({ topic }, lastEventId === undefined ? {} : { lastEventId });
        return { client, subscription };
      } catch (error) {
        if (over) throw error;
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  };

  const take = ({ id, item }: RawItem): void => {
    lastEventId = id;
    if (item.type === 'event') seen.push((item.event.data as { n: number }).n);
    else told.push(item.type);
  };

  /** Takes every item until the connection has ended, also those that came with its end. */
  const readAll = async (subscription: RawSubscription): Promise<void> => {
    for (let at = 0; ; ) {
      const hasEnded = subscription.end !== undefined;
      for (const item of subscription.items.slice(at)) take(item);
      at = subscription.items.length;
      if (hasEnded) return;
      await new Promise((resolve) => setTimeout(resolve, readEveryMs));
    }
  };

  const live = async (): Promise<void> => {
    while (!over) {
      const { client, subscription } = await open();
      current = client;
      const reading = readAll(subscription);
      const asked = client.frame(isReconnect, { timeoutMs: patienceMs });
      await Promise.race([asked, client.closed]).catch(() => {});
      // Leaves first and comes back with its position, as clients of before 11.25 do.
      await client.close();
      await reading;
    }
  };
  const living = live().catch(() => {});

  return {
    seen,
    told,
    isConnected: () => current?.isOpen() ?? false,
    [Symbol.asyncDispose]: async () => {
      over = true;
      await current?.close();
      await living;
    },
  };
}
