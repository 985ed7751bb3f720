import { slotOf } from '../../server/src/redis/slots.ts';
import { get, mutate, query, type Target } from '../harness/http.ts';
import type { RawClient } from '../harness/raw-client.ts';
import type { RawSubscription } from '../harness/raw-subscription.ts';
import { eventually } from '../harness/wait.ts';

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

export const isReady = (server: Target): Promise<unknown> =>
  eventually(async () => (await get(server, '/readyz')).status === 200, { what: 'a server to be ready' });

/** Subscribes and waits for the first item. */
export async function subscribe(client: RawClient, topic: string, lastEventId?: string): Promise<RawSubscription> {
  const live = client.subscribe({ topic }, lastEventId === undefined ? {} : { lastEventId });
  await live.until(() => true);
  return live;
}

export const types = (live: RawSubscription): string[] => live.items.map(({ item }) => item.type);

/** The data of every event in the log. */
export async function logged(server: Target, token: string, topic: string): Promise<unknown[]> {
  const page = await query<{ events: { data: unknown }[] }>(
    server,
    'topic.history',
    { topic, limit: 1_000 },
    { token },
  );
  if (page.data === undefined) throw new Error(`Wanted the log: ${page.status} ${page.text}`);
  return page.data.events.map(({ data }) => data);
}
