import { type Operation, type OperationResultEnvelope, TRPCClientError, type TRPCLink } from '@trpc/client';
import type { AnyTRPCRouter } from '@trpc/server';
import { observable } from '@trpc/server/observable';
import type { PollAnswer } from '@usher/contracts';
import { type Clock, pause, within } from '../clock.ts';
import { actionOf, toUsherError, type UsherError } from '../errors.ts';
import type { Pace } from '../pace.ts';
import type { ConnectionState } from '../state.ts';
import type { TokenSource } from '../token.ts';
import { lastEventIdOf, withLastEventId } from './input.ts';

/** What the fallback goes by: a `Connection`, or `watchWsClient(client)` for a WebSocket client of tRPC's own. */
export interface FallbackSource {
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
  readonly polls: Pace;
  readonly clock: Clock;
  readonly tokens?: Pick<TokenSource, 'version' | 'refused' | 'accepted'>;
  close?(error: UsherError): void;
}

export interface PollingOptions {
  /** How long the server may hold a poll that has nothing to give, in ms. @default 25000 */
  readonly waitMs?: number;
  /** Most events of one answer. @default 200 */
  readonly limit?: number;
  /** Least time from one poll of a topic to its next, in ms. @default 250 */
  readonly minIntervalMs?: number;
  /**
   * Topics whose polls the server may hold. With more, none is held and each is asked every `shortIntervalMs`: a browser
   * opens six connections to one host. @default 4
   */
  readonly maxLongPolls?: number;
  /** @default 2000 */
  readonly shortIntervalMs?: number;
  /** Wait for an answer beyond `waitMs`, in ms. @default 10000 */
  readonly timeoutMs?: number;
}

export interface PollingFallbackOptions extends PollingOptions {
  readonly connection: FallbackSource;
  /** The subscription that can be polled, and the query that polls it. @default ['topic.subscribe', 'topic.poll'] */
  readonly paths?: readonly [subscription: string, query: string];
}

/**
 * Serves subscriptions by polling while the connection is in state `polling`, and by the links below otherwise. The
 * position goes along both ways, so that nothing is missed and nothing comes twice.
 */
export function pollingFallbackLink<TRouter extends AnyTRPCRouter>(options: PollingFallbackOptions): TRPCLink<TRouter> {
  const { connection, paths = ['topic.subscribe', 'topic.poll'], waitMs = 25_000, limit = 200 } = options;
  const { minIntervalMs = 250, maxLongPolls = 4, shortIntervalMs = 2_000, timeoutMs = 10_000 } = options;
  const { polls, clock, tokens } = connection;
  let pollers = 0;

  return () =>
    ({ op, next }) => {
      if (op.type !== 'subscription' || op.path !== paths[0]) return next(op);
      return observable((observer) => {
        let lastEventId = lastEventIdOf(op.input);
        let serving: 'socket' | 'polls' | 'nobody' = 'nobody';
        // What the one served by says after another took over is not heard: its events come again from the position.
        let leave = () => {};

        const take = (envelope: OperationResultEnvelope<unknown, TRPCClientError<TRouter>>) => {
          const { result } = envelope;
          if ('id' in result && result.id !== undefined) lastEventId = result.id;
          observer.next(envelope);
        };

        const bySocket = () => {
          let left = false;
          leave = () => {
            left = true;
          };
          const subscription = next(withLastEventId(op, lastEventId)).subscribe({
            next: (envelope) => left || take(envelope),
            error: (error) => left || observer.error(error),
            complete: () => left || observer.complete(),
          });
          if (left) subscription.unsubscribe();
          leave = () => {
            left = true;
            subscription.unsubscribe();
          };
        };

        const byPolls = () => {
          const leaving = new AbortController();
          leave = () => leaving.abort();
          pollers += 1;
          poll(leaving.signal)
            .catch((error) => leaving.signal.aborted || observer.error(TRPCClientError.from(error)))
            .finally(() => {
              pollers -= 1;
            });
        };

        const poll = async (signal: AbortSignal) => {
          while (!signal.aborted) {
            await polls.turn(signal, { atOnce: polls.failures === 0 });
            const askedAt = clock.now();
            const held = pollers <= maxLongPolls;
            const answer = await pollOnce(held ? waitMs : 0, signal);
            if (signal.aborted) return;
            for (const { id, item } of answer?.items ?? []) {
              take({ result: { type: 'data', id, data: { id, data: item } } });
              // A subscriber may have left, or the state may have changed, in its callback.
              if (signal.aborted) return;
              if (item.type === 'closed') {
                observer.next({ result: { type: 'stopped' } });
                observer.complete();
                return;
              }
            }
            if (!answer) continue;
            lastEventId = answer.lastEventId;
            const restMs = (held ? minIntervalMs : shortIntervalMs) - (clock.now() - askedAt);
            if (restMs > 0) await pause(clock, restMs, signal);
          }
        };

        /** One poll; `null`: it failed, and the next waits its turn. */
        const pollOnce = async (heldMs: number, signal: AbortSignal): Promise<PollAnswer | null> => {
          const version = tokens?.version ?? 0;
          const { topic, history } = op.input as { topic: string; history?: number };
          const query: Operation = {
            ...op,
            type: 'query',
            path: paths[1],
            input: { topic, history, lastEventId, waitMs: heldMs, limit },
          };
          try {
            const answer = await answerOf<TRouter>(next(query), clock, heldMs + timeoutMs, signal);
            polls.healthy();
            tokens?.accepted();
            return answer as PollAnswer;
          } catch (cause) {
            if (signal.aborted) return null;
            const error = toUsherError(cause);
            const action = actionOf(error.code);
            if (action === 'new-token' && tokens?.refused(version)) return null;
            if (action === 'new-token' || error.code === 'MISSING_SESSION') connection.close?.(error);
            if (action === 'final' || action === 'new-token' || action === 'try-for-a-while') throw cause;
            polls.failed(error.retryAfterMs);
            return null;
          }
        };

        const follow = ({ status }: ConnectionState) => {
          const wanted = status === 'polling' ? 'polls' : 'socket';
          if (wanted === serving) return;
          leave();
          serving = wanted;
          if (wanted === 'polls') byPolls();
          else bySocket();
        };

        const abort = () => observer.complete();
        op.signal?.addEventListener('abort', abort);
        const unwatch = connection.watch(follow);
        follow(connection.state);
        return () => {
          unwatch();
          op.signal?.removeEventListener('abort', abort);
          leave();
        };
      });
    };
}

/** The one answer of a query, within `limitMs`; leaving it aborts the request. */
function answerOf<TRouter extends AnyTRPCRouter>(
  result: ReturnType<ReturnType<TRPCLink<TRouter>>>,
  clock: Clock,
  limitMs: number,
  signal: AbortSignal,
): Promise<unknown> {
  return within(
    clock,
    limitMs,
    signal,
    (given) =>
      new Promise((resolve, reject) => {
        const subscription = result.subscribe({
          next: ({ result }) => resolve('data' in result ? result.data : undefined),
          error: reject,
        });
        given.addEventListener('abort', () => subscription.unsubscribe());
      }),
  );
}
