import { type Operation, type OperationResultEnvelope, TRPCClientError, type TRPCLink } from '@trpc/client';
import type { AnyTRPCRouter } from '@trpc/server';
import { observable } from '@trpc/server/observable';
import type { PollAnswer } from '@usher/contracts';
import { type Clock, pause, within } from '../clock.ts';
import { actionOf, toUsherError, type UsherError } from '../errors.ts';
import type { Pace } from '../pace.ts';
import type { ConnectionState, ConnectionStatus } from '../state.ts';
import { follow } from './flow.ts';
import { idOf, withLastEventId } from './position.ts';

/** What the fallback goes by: a `Connection`, or `watchWsClient(client)` for a WebSocket client of tRPC's own. */
export interface FallbackSource {
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
  readonly polls: Pace;
  readonly clock: Clock;
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
}

/**
 * Serves subscriptions by polling while the connection is in state `polling`, and by the links below otherwise. The
 * position goes along both ways, so that nothing is missed and nothing comes twice.
 */
export function pollingFallbackLink<TRouter extends AnyTRPCRouter>(options: PollingFallbackOptions): TRPCLink<TRouter> {
  const { connection, waitMs = 25_000, limit = 200 } = options;
  const { minIntervalMs = 250, maxLongPolls = 4, shortIntervalMs = 2_000, timeoutMs = 10_000 } = options;
  const { polls, clock } = connection;
  let pollers = 0;

  return () =>
    ({ op, next }) => {
      if (op.path !== 'topic.subscribe') return next(op);
      return observable((observer) => {
        let { lastEventId } = op.input as { lastEventId?: string };
        let serving: ConnectionStatus | undefined;
        // What the one served by says after another took over is not heard: its events come again from the position.
        let leave = () => {};

        const take = (envelope: OperationResultEnvelope<unknown, TRPCClientError<TRouter>>) => {
          lastEventId = idOf(envelope) ?? lastEventId;
          observer.next(envelope);
        };

        const ask = (heldMs: number, signal: AbortSignal) => {
          const { topic, history } = op.input as { topic: string; history?: number };
          const input = { topic, history, lastEventId, waitMs: heldMs, limit };
          const query: Operation = { ...op, type: 'query', path: 'topic.poll', input };
          return within(
            clock,
            heldMs + timeoutMs,
            signal,
            (given) =>
              new Promise<PollAnswer>((resolve, reject) => {
                follow(next(query), given, {
                  next: ({ result }) => resolve((result as { data: PollAnswer }).data),
                  error: reject,
                  complete: () => {},
                });
              }),
          );
        };

        const pollOnce = async (signal: AbortSignal) => {
          await polls.turn(signal, polls.failures === 0);
          const askedAt = clock.now();
          const held = pollers <= maxLongPolls;
          const answer = await ask(held ? waitMs : 0, signal);
          polls.healthy();
          for (const { id, item } of answer.items) {
            take({ result: { type: 'data', id, data: { id, data: item } } });
            if (item.type === 'closed') observer.complete();
            // A subscriber may have left, or the state may have changed, in its callback.
            if (signal.aborted) return;
          }
          lastEventId = answer.lastEventId;
          await pause(clock, askedAt + (held ? minIntervalMs : shortIntervalMs) - clock.now(), signal);
        };

        const poll = async (signal: AbortSignal) => {
          pollers += 1;
          while (!signal.aborted) {
            await pollOnce(signal).catch((cause) => {
              if (signal.aborted) return;
              const error = toUsherError(cause);
              const action = actionOf(error.code);
              // Another token was tried already.
              if (action === 'new-token' || error.code === 'MISSING_SESSION') connection.close?.(error);
              if (/^(final|new-token|try)/.test(action)) observer.error(TRPCClientError.from(cause));
              else polls.failed(error.retryAfterMs);
            });
          }
          pollers -= 1;
        };

        const change = ({ status }: ConnectionState) => {
          const wanted = status === 'polling' ? status : 'live';
          if (wanted === serving) return;
          serving = wanted;
          leave();
          const serve = new AbortController();
          const { signal } = serve;
          leave = () => serve.abort();
          if (wanted === 'polling') void poll(signal);
          else follow(next(withLastEventId(op, lastEventId)), signal, { ...observer, next: take });
        };

        const abort = () => observer.complete();
        op.signal?.addEventListener('abort', abort);
        const unwatch = connection.watch(change);
        change(connection.state);
        return () => {
          unwatch();
          op.signal?.removeEventListener('abort', abort);
          leave();
        };
      });
    };
}
