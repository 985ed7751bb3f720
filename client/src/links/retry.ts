import { type Operation, TRPCClientError, type TRPCLink } from '@trpc/client';
import type { AnyTRPCRouter } from '@trpc/server';
import { observable } from '@trpc/server/observable';
import { type BackoffOptions, backoffMs } from '../backoff.ts';
import { type Clock, systemClock } from '../clock.ts';
import { actionOf, toUsherError, UsherError } from '../errors.ts';
import { withLastEventId } from './input.ts';

export interface BackoffRetryOptions extends BackoffOptions {
  /** Retries of one query or mutation. @default 3 */
  readonly maxRetries?: number;
  /** Retries of one subscription since it was last healthy. @default Infinity */
  readonly maxSubscriptionRetries?: number;
  /** How long a topic that is not there is asked for again, in ms. @default 10000 */
  readonly unknownTopicMs?: number;
  /** A subscription that stands this long is healthy: its retries start over, in ms. @default 10000 */
  readonly healthyAfterMs?: number;
  /** Longest wait for the answer of a query or mutation, in ms; `waitMs` in its input is added. @default 15000 */
  readonly timeoutMs?: number;
  /** Tells whether another token may be tried for an operation that was refused. @default never */
  readonly tokens?: { readonly version: number; refused(version: number): boolean; accepted(): void };
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
  const { clock = systemClock, random = Math.random, tokens } = options;
  const { maxRetries = 3, maxSubscriptionRetries = Number.POSITIVE_INFINITY } = options;
  const { unknownTopicMs = 10_000, healthyAfterMs = 10_000, timeoutMs = 15_000 } = options;

  return () =>
    ({ op, next }) =>
      observable((observer) => {
        const lasting = op.type === 'subscription';
        let lastEventId: string | undefined;
        let retries = 0;
        let unknownSince: number | undefined;
        let over = false;
        let stopTimer = () => {};
        let leave = () => {};

        /** How long until the next try, in ms; `null`: there is none. */
        const delayOf = (error: UsherError, version: number): number | null => {
          const action = actionOf(error.code);
          if (action === 'try-for-a-while') {
            if (!lasting) return null;
            unknownSince ??= clock.now();
            const leftMs = unknownSince + unknownTopicMs - clock.now();
            // The last try is made when the time is up, not before.
            return leftMs > 0 ? Math.min(leftMs, unknownTopicDelayMs * (0.5 + random() / 2)) : null;
          }
          if (action === 'final') return null;
          // Only these count: a topic that came late must not make a slow start of the next error.
          if (retries >= (lasting ? maxSubscriptionRetries : maxRetries)) return null;
          if (action === 'new-token') return tokens?.refused(version) ? 0 : null;
          if (op.type === 'mutation' && action !== 'wait' && !isRepeatable(op.input)) return null;
          const delayMs = Math.max(backoffMs(retries, options), error.retryAfterMs ?? 0);
          retries += 1;
          return delayMs;
        };

        const attempt = () => {
          const version = tokens?.version ?? 0;
          const startedAt = clock.now();
          let done = false;
          const fail = (cause: unknown) => {
            if (done || over) return;
            done = true;
            stopTimer();
            leave();
            if (clock.now() - startedAt >= healthyAfterMs) retries = 0;
            const delayMs = delayOf(toUsherError(cause), version);
            if (delayMs === null) {
              over = true;
              observer.error(TRPCClientError.from(cause as Error));
              return;
            }
            stopTimer = clock.after(delayMs, attempt);
          };
          if (!lasting) {
            const limitMs = timeoutMs + waitOf(op.input);
            stopTimer = clock.after(limitMs, () =>
              fail(new UsherError('TIMEOUT', { message: `${op.path} gave no answer in ${limitMs} ms` })),
            );
          }
          const subscription = next(lasting ? withLastEventId(op, lastEventId) : op).subscribe({
            next(envelope) {
              if (done || over) return;
              const { result } = envelope;
              if (result.type === undefined || result.type === 'data') {
                if ('id' in result && result.id !== undefined) lastEventId = result.id;
                unknownSince = undefined;
                // A socket proves itself by standing, see the connection.
                if (!lasting) tokens?.accepted();
              }
              observer.next(envelope);
            },
            error: fail,
            complete() {
              if (done || over) return;
              over = true;
              stopTimer();
              observer.complete();
            },
          });
          leave = () => subscription.unsubscribe();
          if (done || over) leave();
        };

        attempt();
        return () => {
          over = true;
          stopTimer();
          leave();
        };
      });
}

function waitOf(input: unknown): number {
  const waitMs = (input as { waitMs?: unknown } | null | undefined)?.waitMs;
  return typeof waitMs === 'number' ? waitMs : 0;
}

/** Every event of a publish has its idempotency key. */
function isRepeatable(input: Operation['input']): boolean {
  const { idempotencyKey, events } = (input ?? {}) as { idempotencyKey?: unknown; events?: unknown };
  if (!Array.isArray(events)) return typeof idempotencyKey === 'string';
  return events.every((event) => typeof (event as { idempotencyKey?: unknown }).idempotencyKey === 'string');
}
