import { type Operation, TRPCClientError, type TRPCLink } from '@trpc/client';
import type { AnyTRPCRouter } from '@trpc/server';
import { observable } from '@trpc/server/observable';
import { type BackoffOptions, backoffMs } from '../backoff.ts';
import { type Clock, systemClock } from '../clock.ts';
import { actionOf, toUsherError, UsherError } from '../errors.ts';
import { follow } from './flow.ts';
import { idOf, withLastEventId } from './position.ts';

export interface BackoffRetryOptions extends BackoffOptions {
  /** Retries of one query or mutation; a subscription is tried for ever. @default 3 */
  readonly maxRetries?: number;
  /** How long a topic that is not there is asked for again, in ms. @default 10000 */
  readonly unknownTopicMs?: number;
  /** A subscription that stands this long is healthy: its retries start over, in ms. @default 10000 */
  readonly healthyAfterMs?: number;
  /** Longest wait for the answer of a query or mutation, in ms; `waitMs` in its input is added. @default 15000 */
  readonly timeoutMs?: number;
  /** @default the system's */
  readonly clock?: Clock;
}

// Asked for about this often while a topic is not there yet; a page opens a moment before the worker's first event.
const unknownTopicDelayMs = 1_000;

/**
 * Retries what failed, with exponential backoff and full jitter. Subscriptions continue from the last position;
 * mutations are sent again only when that cannot do them twice: with an idempotency key, or when they were turned away.
 */
export function backoffRetryLink<TRouter extends AnyTRPCRouter>(options: BackoffRetryOptions = {}): TRPCLink<TRouter> {
  const { clock = systemClock, random = Math.random } = options;
  const { maxRetries = 3 } = options;
  const { unknownTopicMs = 10_000, healthyAfterMs = 10_000, timeoutMs = 15_000 } = options;

  return () =>
    ({ op, next }) =>
      observable((observer) => {
        const lasting = op.type === 'subscription';
        let lastEventId: string | undefined;
        let retries = 0;
        let unknownSince: number | undefined;
        let stopTimer = () => {};
        let leave = () => {};

        /** How long until the next try, in ms; `null`: there is none. */
        const delayOf = (error: UsherError): number | null => {
          const action = actionOf(error.code);
          if (action === 'try-for-a-while' && lasting) {
            unknownSince ??= clock.now();
            const leftMs = unknownSince + unknownTopicMs - clock.now();
            // The last try is made when the time is up, not before.
            return leftMs > 0 ? Math.min(leftMs, unknownTopicDelayMs * (0.5 + random() / 2)) : null;
          }
          const given = /^(final|new-token|try)/.test(action) || (!lasting && retries >= maxRetries);
          // Turned away is not done; anything else may be, unless its key makes it safe.
          if (given || (op.type === 'mutation' && action !== 'wait' && !isRepeatable(op.input ?? {}))) return null;
          // Only these count: a topic that came late must not make a slow start of the next error.
          const delayMs = Math.max(backoffMs(retries, options), error.retryAfterMs ?? 0);
          retries += 1;
          return delayMs;
        };

        const attempt = () => {
          const startedAt = clock.now();
          const current = new AbortController();
          leave = () => current.abort();
          const fail = (cause: unknown) => {
            stopTimer();
            leave();
            if (clock.now() - startedAt >= healthyAfterMs) retries = 0;
            const delayMs = delayOf(toUsherError(cause));
            if (delayMs === null) observer.error(TRPCClientError.from(cause as Error));
            else stopTimer = clock.after(delayMs, attempt);
          };
          if (!lasting) {
            const { waitMs = 0 } = (op.input ?? {}) as { waitMs?: number };
            stopTimer = clock.after(timeoutMs + waitMs, () => fail(new UsherError('TIMEOUT')));
          }
          follow(next(withLastEventId(op, lastEventId)), current.signal, {
            next(envelope) {
              const id = idOf(envelope);
              lastEventId = id ?? lastEventId;
              if (id !== undefined) unknownSince = undefined;
              observer.next(envelope);
            },
            error: fail,
            complete: () => observer.complete(),
          });
        };

        attempt();
        return () => {
          stopTimer();
          leave();
        };
      });
}

/** Every event of a publish has its idempotency key. */
function isRepeatable(input: Operation['input']): boolean {
  const { events = [input] } = input as { events?: unknown[] };
  return events.every((event) => (event as { idempotencyKey?: unknown } | undefined)?.idempotencyKey);
}
