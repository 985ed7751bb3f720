import { type Principal, type TopicEvent, type TopicsPort, UsherError } from '@usher/contracts';
import { eventJson } from '../hub/frame.ts';
import type { Hub } from '../hub/hub.ts';
import { RedisAwayError } from '../redis/connection.ts';
import { assertOwner, isGranted } from './access.ts';
import { refuseAway } from './away.ts';
import type { Definitions, ResolvedTopic } from './definitions.ts';
import type { Head, TopicLog } from './log.ts';
import type { Poll } from './poll.ts';
import { positionOf } from './position.ts';
import type { Publisher } from './publisher.ts';
import type { Subscribe } from './subscribe.ts';

export interface TopicsOptions {
  readonly log: TopicLog;
  readonly definitions: Definitions;
  readonly hub: Hub;
  readonly publisher: Publisher;
  readonly subscribe: Subscribe;
  readonly poll: Poll;
  readonly load: (topic: string) => (() => Promise<string | null>) | undefined;
  /** A page of history takes no further event past this many bytes. @default 1048576 */
  readonly maxPageBytes?: number;
}

/** Topics as the router asks for them. */
export function createTopics(options: TopicsOptions): TopicsPort {
  const { log, hub, definitions, load } = options;
  const maxPageBytes = options.maxPageBytes ?? 1_048_576;

  /** Judged by the head that came with the answer: what was known of the topic before may be of another's. */
  const assertReadable = (principal: Principal, resolved: ResolvedTopic, head: Pick<Head, 'made' | 'owner'>): void => {
    if (!isGranted(principal, resolved)) assertOwner(principal, head);
    else if (!head.made && resolved.definition.access === 'owner') throw new UsherError('TOPIC_UNKNOWN');
  };

  return {
    ...options.publisher,
    poll: options.poll,
    subscribe: options.subscribe,

    async state(principal, { topic }) {
      const resolved = definitions.resolve(topic);
      const snapshot = await log
        .snapshot(topic, { maxEvents: 0, maxBytes: 0, touch: false })
        .catch((cause: unknown) => {
          const known = cause instanceof RedisAwayError && hub.find(topic)?.localSnapshot(0, true);
          return known || refuseAway(cause);
        });
      assertReadable(principal, resolved, snapshot);
      const state = snapshot.state ?? (await load(topic)?.()) ?? 'null';
      return { position: snapshot.last, state: JSON.parse(state) as unknown };
    },

    async history(principal, { topic, after, before, limit, reverse }) {
      const resolved = definitions.resolve(topic);
      const range = await log
        .range(topic, {
          after: after && positionOf(after),
          before: before && positionOf(before),
          limit,
          reverse,
          maxBytes: maxPageBytes,
        })
        .catch(refuseAway);
      assertReadable(principal, resolved, range);
      return {
        events: range.entries.map((entry) => JSON.parse(eventJson(entry)) as TopicEvent),
        position: range.last ?? '0-0',
        complete: range.complete,
      };
    },
  };
}
