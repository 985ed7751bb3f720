import { clearTimeout, setTimeout } from 'k6/timers';
import { type Follower, follow } from './follower.ts';
import { manyUsers, tokenFor } from './token.ts';

export interface CrowdOptions {
  /** Followers of the whole crowd; each virtual user of k6 seats its share. */
  readonly size: number;
  /** Connections of one user. */
  readonly perUser: number;
  readonly untilMs: number;
  /** What the follower of this number reads. */
  readonly topicsOf: (follower: number) => readonly string[];
}

/** Virtual users a crowd needs: each is one user of the service. */
export const usersOf = ({ size, perUser }: Pick<CrowdOptions, 'size' | 'perUser'>): number => Math.ceil(size / perUser);

/** The share of this virtual user. `user` counts from 0. */
export function seat(user: number, { size, perUser, untilMs, topicsOf }: CrowdOptions): readonly Follower[] {
  const token = tokenFor(`k6-reader-${user}`);
  const first = user * perUser;
  const count = Math.max(0, Math.min(perUser, size - first));
  return Array.from({ length: count }, (_, at) => follow({ token, topics: topicsOf(first + at), untilMs }));
}

/** Opens another connection from time to time, until the follower is done. */
export async function comeAndGo(follower: Follower, stayMs: number): Promise<void> {
  let timer = 0;
  const stay = (): void => {
    timer = setTimeout(
      () => {
        follower.reconnect();
        stay();
      },
      stayMs * (0.5 + Math.random()),
    );
  };
  stay();
  await follower.done;
  // k6 ends a run only when no timer is left.
  clearTimeout(timer);
}

/** Says before a run what would otherwise be seen as refusals in it. */
export function warnOfOneUser(connections: number): void {
  if (manyUsers) return;
  console.warn(
    `Without JWT_SECRET all ${connections} connections are one user's: MAX_CONNECTIONS_PER_USER and TICKETS_PER_MINUTE of the server must allow it`,
  );
}
