import type { PollAnswer, PollInput, Principal, TopicItem } from '@usher/contracts';
import type { RawItem } from '../hub/frame.ts';
import type { Hub } from '../hub/hub.ts';
import { degradedJson } from '../hub/items.ts';
import { join } from '../hub/join.ts';
import type { Leaving } from '../leaving.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Authorize } from './authorize.ts';
import { refuseAway } from './away.ts';
import type { Definitions } from './definitions.ts';
import { positionOf } from './position.ts';

export interface PollOptions {
  readonly hub: Hub;
  readonly authorize: Authorize;
  readonly definitions: Definitions;
  readonly metrics: Metrics;
  readonly maxReplayEvents: number;
  /** An answer takes no further item past this many bytes. @default 1048576 */
  readonly maxAnswerBytes?: number;
  readonly load: (topic: string) => (() => Promise<string | null>) | undefined;
  /** While this instance leaves no poll is held: those that wait are answered with what there is. */
  readonly leaving?: Pick<Leaving, 'since' | 'onBegin'>;
  /** They are answered over this time, in ms, and not all at once: each is asked again elsewhere. @default 2500 */
  readonly leavingSpreadMs?: number;
  /** @default Math.random */
  readonly random?: () => number;
}

export type Poll = (principal: Principal, input: PollInput, signal: AbortSignal | undefined) => Promise<PollAnswer>;

/** One long poll: the items after a position, by the same way a subscription takes, and from the same memory. */
export function createPoll(options: PollOptions): Poll {
  const { hub, definitions, authorize, metrics } = options;
  const maxAnswerBytes = options.maxAnswerBytes ?? 1_048_576;
  const { leaving, leavingSpreadMs = 2_500, random = Math.random } = options;
  const isLeaving = (): boolean => leaving !== undefined && leaving.since !== null;

  return async (principal, input, signal) => {
    const resolved = definitions.resolve(input.topic);
    await authorize(principal, resolved, false);
    const channel = await hub.acquire(input.topic);
    const items: RawItem[] = [];
    const full = new AbortController();
    let bytes = 0;
    let detach: (() => void) | undefined;
    let ended = false;
    let wake: () => void = () => {};
    const take = (item: RawItem): void => {
      // Where a poll begins anew it says so; where it merely goes on there is nothing to say.
      if (full.signal.aborted || item.json.startsWith('{"type":"resumed"')) return;
      items.push(item);
      bytes += item.json.length;
      if (items.length >= input.limit || bytes >= maxAnswerBytes) full.abort();
      wake();
    };
    const stop = (): void => {
      full.abort();
      wake();
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await join(
        {
          signal: full.signal,
          emit: take,
          attach: () => {
            const stopReading = channel.read({ presence: false, history: input.history, item: take });
            const stopEnd = channel.onEnd(() => {
              ended = true;
              wake();
            });
            detach = () => {
              stopReading();
              stopEnd();
            };
          },
        },
        {
          channel,
          hub,
          position: input.lastEventId === undefined ? undefined : positionOf(input.lastEventId),
          history: input.history,
          maxReplayEvents: options.maxReplayEvents,
          load: options.load(input.topic),
        },
      ).catch(refuseAway);
      // That Redis is away is no news to one who comes back: answering at once would make it ask without end.
      const isQuiet = items.length === 0 || (items.length === 1 && items[0]?.json === degradedJson);
      if (isQuiet && detach !== undefined && !ended && input.waitMs > 0 && !full.signal.aborted && !isLeaving()) {
        await new Promise<void>((resolve) => {
          const timers = [setTimeout(() => wake(), input.waitMs)];
          const forget = leaving?.onBegin(() => {
            timers.push(setTimeout(() => wake(), leavingSpreadMs * random()));
          });
          wake = () => {
            for (const timer of timers) clearTimeout(timer);
            forget?.();
            resolve();
          };
        });
      }
      metrics.polls.inc();
      return {
        items: items.map(({ id, json }) => ({ id, item: JSON.parse(json) as TopicItem })),
        lastEventId: items.at(-1)?.id ?? input.lastEventId ?? channel.position,
      };
    } finally {
      signal?.removeEventListener('abort', stop);
      detach?.();
      hub.release(channel);
    }
  };
}
