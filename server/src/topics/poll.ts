import {
  type PollAnswer,
  type PollInput,
  type Principal,
  type TopicItem,
  UsherError,
  type Work,
} from '@usher/contracts';
import type { RawItem } from '../hub/frame.ts';
import { degradedJson, restoredJson, toldDegraded } from '../hub/items.ts';
import { join } from '../hub/join.ts';
import type { Leaving } from '../leaving.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Authorize } from './authorize.ts';
import { refuseAway } from './away.ts';
import type { Definitions } from './definitions.ts';
import { positionOf } from './position.ts';
import { createSubscription, type SubscriptionOptions } from './subscription.ts';

export interface PollOptions extends SubscriptionOptions {
  readonly authorize: Authorize;
  readonly definitions: Definitions;
  readonly metrics: Metrics;
  /** An answer takes no further item past this many bytes. @default 1048576 */
  readonly maxAnswerBytes?: number;
  /** How long a poll may take, besides its wait, to be brought to where the channel is, in ms. @default 5000 */
  readonly joinTimeoutMs?: number;
  /** While this instance leaves no poll is held: those that wait are answered with what there is. */
  readonly leaving?: Pick<Leaving, 'since' | 'onBegin'>;
  /** They are answered over this time, in ms, and not all at once: each is asked again elsewhere. @default 2500 */
  readonly leavingSpreadMs?: number;
  /** @default Math.random */
  readonly random?: () => number;
}

export type Poll = (
  principal: Principal,
  input: PollInput,
  work: Pick<Work, 'signal' | 'rest'> | undefined,
) => Promise<PollAnswer>;

/** One long poll: the items after a position, by the same way a subscription takes, and from the same memory. */
export function createPoll(options: PollOptions): Poll {
  const { hub, definitions, authorize, metrics, leaving, leavingSpreadMs = 2_500, random = Math.random } = options;
  const { maxAnswerBytes = 1_048_576, joinTimeoutMs = 5_000 } = options;
  const isLeaving = (): boolean => leaving !== undefined && leaving.since !== null;

  return async (principal, input, work) => {
    const signal = work?.signal;
    const resolved = definitions.resolve(input.topic);
    await authorize(principal, resolved, false);
    const channel = await hub.acquire(input.topic);
    const reader = createSubscription({ principal, resolved, channel }, { ...input, presence: false }, options);
    // One poll after the other is one conversation; a subscription's first word ends whatever it was told before.
    const joinOptions = { ...reader.join, toldDegraded: toldDegraded(input.lastEventId) };
    const items: RawItem[] = [];
    const full = new AbortController();
    const over = Promise.withResolvers<void>();
    const stops: (() => void)[] = [];
    const timers: ReturnType<typeof setTimeout>[] = [];
    let bytes = 0;
    let isLost = false;
    const stop = (): void => {
      full.abort();
      over.resolve();
    };
    const take = (item: RawItem): void => {
      // Where a poll begins anew it says so; where it merely goes on there is nothing to say.
      if (full.signal.aborted || item.json.startsWith('{"type":"resumed"')) return;
      items.push(item);
      bytes += Buffer.byteLength(item.json);
      if (items.length >= input.limit || bytes >= maxAnswerBytes) stop();
    };
    const takeLive = (item: RawItem): void => {
      take(item);
      over.resolve();
    };
    const attach = (): void => {
      stops.push(channel.read({ presence: false, history: input.history, item: takeLive }));
      stops.push(channel.onEnd(over.resolve));
      stops.push(
        reader.watchOwner(() => {
          isLost = true;
          stop();
        }),
      );
    };
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    try {
      timers.push(setTimeout(() => full.abort(), joinTimeoutMs));
      await join({ signal: full.signal, emit: take, attach }, joinOptions).catch(refuseAway);
      clearTimeout(timers.pop());
      // That Redis is away is no news to one who comes back: answering at once would make it ask without end.
      const isQuiet = items.every((item) => item.json === degradedJson);
      if (isQuiet && stops.length > 0 && input.waitMs > 0 && !isLeaving()) {
        timers.push(setTimeout(over.resolve, input.waitMs));
        const spread = (): void => void timers.push(setTimeout(over.resolve, leavingSpreadMs * random()));
        if (leaving) stops.push(leaving.onBegin(spread));
        work?.rest();
        await over.promise;
      }
      if (isLost) throw new UsherError('TOPIC_UNKNOWN');
      metrics.polls.inc();
      return {
        items: items.map(({ id, json }) => ({ id, item: JSON.parse(json) as TopicItem })),
        lastEventId: comeBackWith(items, input.lastEventId ?? channel.position),
      };
    } finally {
      signal?.removeEventListener('abort', stop);
      for (const timer of timers) clearTimeout(timer);
      for (const leave of stops) leave();
      hub.release(channel);
    }
  };

  /** The last id, marked where the reader believes Redis away: the next poll tells the end of it, not the fact again. */
  function comeBackWith(items: readonly RawItem[], lastEventId: string): string {
    let degraded = toldDegraded(lastEventId);
    for (const { json } of items) {
      if (json === degradedJson) degraded = true;
      else if (json === restoredJson || /^\{"type":"(snapshot|reset)"/.test(json)) degraded = false;
    }
    const id = items.at(-1)?.id ?? lastEventId;
    return toldDegraded(id) === degraded ? id : hub.itemId(positionOf(id), degraded);
  }
}
