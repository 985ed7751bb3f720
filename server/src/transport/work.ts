import { type Principal, UsherError, type Work } from '@usher/contracts';
import type { Granted } from '../auth/verdict.ts';

export interface WorkCounterOptions {
  /** Calls, polls and streams one user may have under way on this instance. @default 10000 */
  readonly maxPerUser?: number;
  /** Whether a right that was given at `issuedAt` has been taken back. */
  readonly isRevoked: (principal: Principal, issuedAt: number) => boolean;
  /** How often the rights behind what is under way are looked at, in ms. @default 500 */
  readonly sweepIntervalMs?: number;
  readonly now?: () => number;
}

/** What came over HTTP and is not over: bounded per user, and ended with the right it stands on, as a socket is. */
export interface WorkCounter {
  /** @throws UsherError RATE_LIMITED */
  begin(granted: Granted, signal: AbortSignal | undefined): Work;
  close(): void;
}

interface Item extends Granted {
  readonly over: AbortController;
}

const retryAfterMs = 1_000;

export function createWorkCounter(options: WorkCounterOptions): WorkCounter {
  const { maxPerUser = 10_000, isRevoked, now = Date.now } = options;
  const counts = new Map<string, number>();
  const items = new Set<Item>();

  const sweep = setInterval(() => {
    const at = now();
    for (const { principal, issuedAt, over } of items) {
      if (over.signal.aborted) continue;
      if (isRevoked(principal, issuedAt)) over.abort(new UsherError('SESSION_REVOKED'));
      else if (principal.expiresAt !== null && principal.expiresAt <= at) over.abort(new UsherError('TOKEN_EXPIRED'));
    }
  }, options.sweepIntervalMs ?? 500);

  return {
    begin({ principal, issuedAt }, signal) {
      const { userId } = principal;
      const count = counts.get(userId) ?? 0;
      if (count >= maxPerUser) throw tooMuch(maxPerUser);
      counts.set(userId, count + 1);
      const over = new AbortController();
      const item = { principal, issuedAt, over };
      items.add(item);
      const follow = (): void => over.abort(signal?.reason);
      if (signal?.aborted) follow();
      else signal?.addEventListener('abort', follow, { once: true });
      return {
        signal: over.signal,
        end() {
          if (!items.delete(item)) return;
          signal?.removeEventListener('abort', follow);
          const left = (counts.get(userId) ?? 1) - 1;
          if (left > 0) counts.set(userId, left);
          else counts.delete(userId);
        },
      };
    },
    close: () => clearInterval(sweep),
  };
}

/** The answer to whoever has as much under way as he may. */
export const tooMuch = (max: number): UsherError =>
  new UsherError('RATE_LIMITED', { message: `At most ${max} calls may be under way at once`, retryAfterMs });
