import { type Principal, UsherError, type Work } from '@usher/contracts';
import type { Granted } from '../auth/verdict.ts';
import { Gate } from './gate.ts';

export interface WorkCounterOptions {
  /** Calls, polls and streams one user may have under way on this instance. @default 10000 */
  readonly maxPerUser?: number;
  /** Of these, reads of one user whose answers are made, or held, at once. @default 128 */
  readonly maxReadsAtOnce?: number;
  /** Whether a right that was given at `issuedAt` has been taken back. */
  readonly isRevoked: (principal: Principal, issuedAt: number) => boolean;
  /** How often the rights behind what is under way are looked at, in ms. @default 500 */
  readonly sweepIntervalMs?: number;
  readonly now?: () => number;
}

/** What came over HTTP and is not over: bounded per user, and ended with the right it stands on, as a socket is. */
export interface WorkCounter {
  /** The work of one request: `calls` of them, whose answers are held until all are there. */
  request(calls: number): RequestWork;
  close(): void;
}

export interface RequestWork {
  /** Begins one call of it. @throws UsherError RATE_LIMITED */
  begin(granted: Granted, signal: AbortSignal | undefined): Work;
  /** Its answer is made, or has begun to be sent: what was held is free, and calls that go on hold their own. */
  end(): void;
}

interface Item extends Granted {
  readonly over: AbortController;
}

interface User {
  count: number;
  readonly reads: Gate;
}

const retryAfterMs = 1_000;

export function createWorkCounter(options: WorkCounterOptions): WorkCounter {
  const { maxPerUser = 10_000, maxReadsAtOnce = 128, isRevoked, now = Date.now } = options;
  const users = new Map<string, User>();
  const items = new Set<Item>();

  const sweep = setInterval(() => {
    const at = now();
    for (const { principal, issuedAt, over } of items) {
      if (over.signal.aborted) continue;
      if (isRevoked(principal, issuedAt)) over.abort(new UsherError('SESSION_REVOKED'));
      else if (principal.expiresAt !== null && principal.expiresAt <= at) over.abort(new UsherError('TOKEN_EXPIRED'));
    }
  }, options.sweepIntervalMs ?? 500);

  const enter = (userId: string): User => {
    const user = users.get(userId) ?? { count: 0, reads: new Gate(maxReadsAtOnce) };
    if (user.count >= maxPerUser) throw tooMuch(maxPerUser);
    user.count += 1;
    users.set(userId, user);
    return user;
  };
  const leave = (userId: string, user: User): void => {
    user.count -= 1;
    if (user.count === 0) users.delete(userId);
  };

  return {
    request(calls) {
      let held: { readonly userId: string; readonly user: User; readonly turn: Promise<void> } | undefined;
      let reads = 0;
      let isOver = false;
      /** All turns of a request are taken at once: two that each waited for the other's would wait for ever. */
      const takeTurns = (userId: string): Promise<void> => {
        if (held === undefined) {
          const user = enter(userId);
          reads = Math.min(calls, maxReadsAtOnce);
          held = { userId, user, turn: user.reads.enter(reads) };
        }
        return held.turn;
      };
      const giveBack = async (count: number): Promise<void> => {
        if (held === undefined || count === 0) return;
        reads -= count;
        await held.turn;
        held.user.reads.leave(count);
      };
      return {
        begin({ principal, issuedAt }, signal) {
          const { userId } = principal;
          const user = enter(userId);
          const over = new AbortController();
          const item = { principal, issuedAt, over };
          items.add(item);
          const follow = (): void => over.abort(signal?.reason);
          if (signal?.aborted) follow();
          else signal?.addEventListener('abort', follow, { once: true });
          let hasOwnTurn = false;
          const rest = (): void => {
            if (hasOwnTurn) user.reads.leave();
            else if (!isOver) void giveBack(1);
            hasOwnTurn = false;
          };
          return {
            signal: over.signal,
            async turn() {
              if (!isOver) return takeTurns(userId);
              await user.reads.enter();
              hasOwnTurn = true;
            },
            rest,
            end() {
              if (hasOwnTurn) rest();
              if (!items.delete(item)) return;
              signal?.removeEventListener('abort', follow);
              leave(userId, user);
            },
          };
        },
        end() {
          isOver = true;
          void giveBack(reads);
          if (held) leave(held.userId, held.user);
        },
      };
    },
    close: () => clearInterval(sweep),
  };
}

/** The answer to whoever has as much under way as he may. */
export const tooMuch = (max: number): UsherError =>
  new UsherError('RATE_LIMITED', { message: `At most ${max} calls may be under way at once`, retryAfterMs });
