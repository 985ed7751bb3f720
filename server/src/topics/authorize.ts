import { type Principal, UsherError } from '@usher/contracts';
import type { Hub } from '../hub/hub.ts';
import { RedisAwayError } from '../redis/connection.ts';
import { assertOwner, isGranted } from './access.ts';
import { refuseAway } from './away.ts';
import type { ResolvedTopic } from './definitions.ts';
import type { TopicLog } from './log.ts';

export interface AuthorizeOptions {
  readonly log: TopicLog;
  readonly hub: Hub;
}

/**
 * Lets a caller read a topic, or refuses. `mustExist`: a question about what is there, which has no answer where nobody
 * made the topic, and which no memory answers while the log can; a subscription may wait for it, and is watched later.
 *
 * @throws UsherError TOPIC_UNKNOWN, REDIS_NOT_READY
 */
export type Authorize = (principal: Principal, resolved: ResolvedTopic, mustExist: boolean) => Promise<void>;

export function createAuthorize({ log, hub }: AuthorizeOptions): Authorize {
  return async (principal, resolved, mustExist) => {
    const granted = isGranted(principal, resolved);
    if (granted && (!mustExist || resolved.definition.access !== 'owner')) return;
    const channel = hub.find(resolved.topic);
    const remembered = channel?.made === true && (granted || channel.owner === principal.userId);
    if (remembered && !mustExist) return;
    const head = await log.head(resolved.topic).catch((cause: unknown) => {
      if (remembered && cause instanceof RedisAwayError) return null;
      return refuseAway(cause);
    });
    if (head === null) return;
    if (!granted) assertOwner(principal, head);
    else if (!head.made) throw new UsherError('TOPIC_UNKNOWN');
  };
}
