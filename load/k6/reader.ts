import type { TopicEvent, TopicItem } from '../../contracts/src/items.ts';
import { tally } from './tally.ts';

/** What the publisher puts into each event's data, and as `{n}` into the topic's state. */
export interface Tick {
  /** Counts the topic's events from 0. */
  readonly n: number;
  /** When it was published, in ms since 1970. */
  readonly at: number;
}

export interface Reader {
  readonly topic: string;
  /** What to continue from. */
  readonly lastEventId: string | undefined;
  /** Whether the first item came: snapshot, resumed or reset. */
  readonly begun: boolean;
  /** Whether the topic's end was seen. */
  readonly ended: boolean;
  readonly take: (id: string, item: TopicItem) => void;
}

export interface ReaderOptions {
  /** Called with each event, in order. @default nothing */
  readonly onEvent?: (event: TopicEvent) => void;
}

/** Follows the numbers of one topic through snapshots, replays and resets, and counts what is missing. */
export function createReader(topic: string, options: ReaderOptions = {}): Reader {
  let lastEventId: string | undefined;
  let begun = false;
  let ended = false;
  let next: number | null = null;
  let replaying = 0;

  const continueAfter = (state: unknown): void => {
    const after = ((state as { readonly n?: number } | null)?.n ?? -1) + 1;
    // A snapshot instead of a continuation: what lies between was lost without a word.
    if (next !== null && after > next) tally.missedEvents.add(after - next);
    next = after;
    replaying = 0;
  };

  const takeEvent = (event: TopicEvent): void => {
    const { n, at } = event.data as Tick;
    next ??= n;
    if (n > next) tally.missedEvents.add(n - next);
    if (n < next) tally.doubledEvents.add(1);
    else next = n + 1;
    tally.deliveredEvents.add(1);
    if (replaying > 0) {
      replaying--;
      tally.replayedEvents.add(1);
    } else {
      tally.deliveryMs.add(Date.now() - at);
    }
    options.onEvent?.(event);
  };

  const takeItem = (item: TopicItem): void => {
    switch (item.type) {
      case 'snapshot':
        return continueAfter(item.state);
      case 'resumed':
        replaying = item.replayed;
        return;
      case 'reset':
        tally.resets.add(1);
        // Forgiven, as it was told.
        next = null;
        return continueAfter(item.state);
      case 'event':
        return takeEvent(item.event);
      case 'closed':
        ended = true;
        // The last event came as an event too; one that did not was lost.
        if (item.event && next !== null) tally.missedEvents.add(Math.max(0, (item.event.data as Tick).n + 1 - next));
        return;
      case 'degraded':
        tally.degraded.add(1);
        return;
      default:
        return;
    }
  };

  return {
    topic,
    get lastEventId() {
      return lastEventId;
    },
    get begun() {
      return begun;
    },
    get ended() {
      return ended;
    },
    take(id, item) {
      begun = true;
      lastEventId = id;
      takeItem(item);
    },
  };
}
