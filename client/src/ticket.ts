import { type Clock, closedError, pause, within } from './clock.ts';
import { actionOf, errorOfResponse, isUsherError, UsherError } from './errors.ts';
import type { Logger } from './logger.ts';
import { authorization, type fetchOf } from './request.ts';
import type { TokenSource } from './token.ts';

export interface TicketOptions {
  /** Longest wait for one answer of the ticket endpoint, in ms. @default 10000 */
  readonly timeoutMs?: number;
  /** Waits before asking again while the server's Redis is not ready, in ms. @default [200, 500, 1000] */
  readonly retryDelaysMs?: readonly number[];
}

/** A ticket and where it is good for one connection. */
export interface Ticket {
  readonly ticket: string;
  readonly path: string;
}

export interface TakeOptions {
  readonly signal: AbortSignal;
  /** Waits for Redis, and says so; `false`: one question, without a word. */
  readonly patient: boolean;
}

export interface TicketSource {
  /** One new ticket; never the same twice. @throws UsherError */
  take(options: TakeOptions): Promise<Ticket>;
}

export interface TicketParts {
  readonly url: string;
  readonly tokens: TokenSource;
  readonly clock: Clock;
  readonly fetch: ReturnType<typeof fetchOf>;
  readonly logger: Logger;
}

export function createTicketSource(parts: TicketParts, options: TicketOptions = {}): TicketSource {
  const { tokens, clock, logger } = parts;
  const { timeoutMs = 10_000, retryDelaysMs = [200, 500, 1_000] } = options;

  // The limit stands over the body too: a server that sends a header and then nothing must not hold the client.
  const ask = (token: string | null, signal: AbortSignal) =>
    within(clock, timeoutMs, signal, (given) => requestTicket(parts, token, given)).catch((cause) => {
      throw isUsherError(cause) ? cause : new UsherError('NETWORK', { message: 'No ticket could be had', cause });
    });

  return {
    async take({ signal, patient }) {
      let retries = 0;
      let version = tokens.version;
      let token = await tokens.renew();
      for (;;) {
        try {
          return await ask(token, signal);
        } catch (error) {
          if (!isUsherError(error)) throw error;
          if (actionOf(error.code) === 'new-token' && tokens.refused(version)) {
            version = tokens.version;
            token = await tokens.renew();
            continue;
          }
          const delayMs = retryDelaysMs[retries];
          if (error.code === 'WS_TICKET_REDIS_NOT_READY' && patient && delayMs !== undefined) {
            retries += 1;
            const fields = { attemptNumber: retries, maxAttempts: retryDelaysMs.length, delayMs };
            logger.debug('[WS-Ticket] 503 Redis not ready, retrying with backoff', fields);
            await pause(clock, delayMs, signal);
            if (signal.aborted) throw closedError();
            continue;
          }
          if (error.status === 503 && patient) {
            const fields = { code: error.code, retries, traceId: error.traceId };
            logger.debug('[WS-Ticket] 503 error - max retries exceeded or non-retryable', fields);
          }
          throw error;
        }
      }
    },
  };
}

async function requestTicket({ url, fetch }: TicketParts, token: string | null, signal: AbortSignal): Promise<Ticket> {
  const response = await fetch(url, { method: 'POST', signal, cache: 'no-store', headers: authorization(token) });
  if (!response.ok) throw await errorOfResponse(response);
  const { ticket, path = '/trpc' } = ((await response.json().catch(() => null)) ?? {}) as Partial<Ticket>;
  if (typeof ticket === 'string') return { ticket, path };
  throw new UsherError('BAD_ANSWER', { message: 'The answer holds no ticket', status: response.status });
}
