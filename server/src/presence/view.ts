import type { Member } from '@usher/contracts';
import { z } from 'zod';

/** A change of who is there. */
export interface Change {
  readonly joined: readonly Member[];
  readonly left: readonly Member[];
}

const member = z.object({
  userId: z.string(),
  connections: z.number(),
  since: z.number(),
  info: z.unknown().optional(),
});
const change = z.object({ joined: z.array(member), left: z.array(member) });

/** A change as it came over the channel; `null` when it is none. */
export function parseChange(text: string): Change | null {
  try {
    return change.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

/** What the subscribers of this instance have been told of who is in one topic, in the order they were told it. */
export type View = Map<string, Member>;

export function applyChange(view: View, { joined, left }: Change): void {
  for (const member of joined) view.set(member.userId, member);
  for (const member of left) view.delete(member.userId);
}

/** What to tell those who know `from` so that they know `to`; `null` when it is the same. */
export function difference(from: View, to: View): Change | null {
  const joined = [...to.values()].filter(({ userId }) => !from.has(userId));
  const left = [...from.values()].filter(({ userId }) => !to.has(userId));
  return joined.length + left.length === 0 ? null : { joined, left: left.map((gone) => ({ ...gone, connections: 0 })) };
}
