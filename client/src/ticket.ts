import { type Clock, closedError, pause, within } from './clock.ts';
import { errorOfResponse, toUsherError, UsherError } from './errors.ts';
import type { Logger } from './logger.ts';
import type { Request } from './request.ts';
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
  readonly request: Request;
  readonly logger: Logger;
}

export function createTicketSource(parts: TicketParts, options: TicketOptions = {}): TicketSource {
  const { tokens, clock, logger } = parts;
  const { timeoutMs = 10_000, retryDelaysMs = [200, 500, 1_000] } = options;

  return {
    async take({ signal, patient }) {
      for (let retries = 0; ; ) {
        try {
          if (retries === 0) await tokens.renew();
          // The limit stands over the body too: a server that sends a header and then nothing must not hold the client.
          return await within(clock, timeoutMs, signal, (given) => requestTicket(parts, given));
        } catch (cause) {
          const error = toUsherError(cause);
          const { code, status, traceId } = error;
          const delayMs = retryDelaysMs[retries];
          if (patient && code === 'WS_TICKET_REDIS_NOT_READY' && delayMs !== undefined) {
            retries += 1;
            const fields = { attemptNumber: retries, maxAttempts: retryDelaysMs.length, delayMs };
            logger.debug('[WS-Ticket] 503 Redis not ready, retrying with backoff', fields);
            await pause(clock, delayMs, signal);
            if (signal.aborted) throw closedError();
            continue;
          }
          if (patient && status === 503) {
            logger.debug('[WS-Ticket] 503 error - max retries exceeded or non-retryable', { code, retries, traceId });
          }
          throw error;
        }
      }
    },
  };
}

async function requestTicket({ url, request }: TicketParts, signal: AbortSignal): Promise<Ticket> {
  const response = await request(url, { method: 'POST', signal });
  if (!response.ok) throw await errorOfResponse(response);
  const { ticket, path = '/trpc' } = ((await response.json().catch(() => null)) ?? {}) as Partial<Ticket>;
  if (typeof ticket === 'string') return { ticket, path };
  throw new UsherError('BAD_ANSWER', { message: 'No ticket', status: response.status });
}
