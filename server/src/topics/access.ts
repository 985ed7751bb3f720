import { type Principal, UsherError } from '@usher/contracts';
import type { ResolvedTopic } from './definitions.ts';

/** `job:42` grants itself, `job:*` whatever begins with `job:`, `*` all. */
const matches = (pattern: string, topic: string): boolean =>
  pattern.endsWith('*') ? topic.startsWith(pattern.slice(0, -1)) : pattern === topic;

/** Whether a caller may read a topic without owning it; `false` leaves the owner to be asked. */
export function isGranted(principal: Principal, { topic, id, definition }: ResolvedTopic): boolean {
  if (definition.access === 'everyone') return true;
  if (definition.access === 'user' && id === principal.userId) return true;
  return principal.topics.some((pattern) => matches(pattern, topic));
}

/**
 * What a reader must find in a topic's head to read on; `undefined` for one who may read whoever owns it. A topic that
 * is lost and not made again shows nothing to anybody.
 */
export function mayReadOn(
  principal: Principal,
  resolved: ResolvedTopic,
): ((head: { readonly made: boolean; readonly owner: string | null }) => boolean) | undefined {
  if (isGranted(principal, resolved)) return undefined;
  return (head) => !head.made || head.owner === principal.userId;
}

/** Refuses a topic that is another's exactly as one that does not exist. @throws UsherError TOPIC_UNKNOWN */
export function assertOwner(
  principal: Principal,
  head: { readonly made: boolean; readonly owner: string | null },
): void {
  if (!head.made || head.owner !== principal.userId) throw new UsherError('TOPIC_UNKNOWN');
}
