import { slotOf } from '../../server/src/redis/slots.ts';
import { mutate, type Target } from '../harness/http.ts';

/** What each of three primaries has, as `startCluster` hands it out. */
export const slotThirds: readonly (readonly [number, number])[] = [
  [0, 5_460],
  [5_461, 10_921],
  [10_922, 16_383],
];

/** Names of so many public topics with their slot in that range. */
export function topicsIn([from, to]: readonly [number, number], name: string, count: number): readonly string[] {
  const topics: string[] = [];
  for (let n = 0; topics.length < count; n += 1) {
    const topic = `public:${name}-${n}`;
    const slot = slotOf(`{${topic}}`);
    if (slot >= from && slot <= to) topics.push(topic);
  }
  return topics;
}

/** Publishes a number or a word. */
export const publish = (target: Target, token: string, topic: string, data: unknown, idempotencyKey?: string) =>
  mutate<{ readonly position: string }>(
    target,
    'topic.publish',
    { topic, event: { name: 'e', data }, ...(idempotencyKey !== undefined && { idempotencyKey }) },
    { token },
  );
