import type { Principal, TopicEvent, TopicsPort } from '@usher/contracts';
import { eventJson } from '../hub/frame.ts';
import type { Authorize } from './authorize.ts';
import { refuseAway } from './away.ts';
import type { Definitions } from './definitions.ts';
import type { TopicLog } from './log.ts';
import type { Poll } from './poll.ts';
import { positionOf } from './position.ts';
import type { Publisher } from './publisher.ts';
import type { Subscribe } from './subscribe.ts';

export interface TopicsOptions {
  readonly log: TopicLog;
  readonly definitions: Definitions;
  readonly authorize: Authorize;
  readonly publisher: Publisher;
  readonly subscribe: Subscribe;
  readonly poll: Poll;
  readonly load: (topic: string) => (() => Promise<string | null>) | undefined;
  /** A page of history takes no further event past this many bytes. @default 1048576 */
  readonly maxPageBytes?: number;
}

/** Topics as the router asks for them. */
export function createTopics(options: TopicsOptions): TopicsPort {
  const { log, definitions, authorize, load } = options;
  const maxPageBytes = options.maxPageBytes ?? 1_048_576;
  const readable = async (principal: Principal, topic: string): Promise<void> =>
    authorize(principal, definitions.resolve(topic), true);

  return {
    ...options.publisher,
    poll: options.poll,
    subscribe: options.subscribe,

    async state(principal, { topic }) {
      await readable(principal, topic);
      const snapshot = await log.snapshot(topic, { maxEvents: 0, maxBytes: 0, touch: false }).catch(refuseAway);
      const state = snapshot.state ?? (await load(topic)?.()) ?? 'null';
      return { position: snapshot.last, state: JSON.parse(state) as unknown };
    },

    async history(principal, { topic, after, before, limit, reverse }) {
      await readable(principal, topic);
      const range = await log
        .range(topic, {
          after: after && positionOf(after),
          before: before && positionOf(before),
          limit,
          reverse,
          maxBytes: maxPageBytes,
        })
        .catch(refuseAway);
      return {
        events: range.entries.map((entry) => JSON.parse(eventJson(entry)) as TopicEvent),
        position: range.last ?? '0-0',
        complete: range.complete,
      };
    },
  };
}
