import { type Clock, closedError, pause, unlessAborted } from './clock.ts';
import { actionOf, errorOfResponse, isUsherError, UsherError } from './errors.ts';
import type { Logger } from './logger.ts';
import type { TokenSource } from './token.ts';

export interface TicketOptions {
  /** Longest wait for one answer of the ticket endpoint, in ms. @default 10000 */
  readonly timeoutMs?: number;
  /** Waits before asking again while the server's Redis is not ready, in ms. @default [200, 500, 1000] */
  readonly retryDelaysMs?: readonly number[];
}

export const ticketDefaults = Object.freeze({ timeoutMs: 10_000, retryDelaysMs: Object.freeze([200, 500, 1_000]) });

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
  readonly fetch: typeof fetch;
  readonly credentials: RequestCredentials | undefined;
  readonly logger: Logger;
}

export function createTicketSource(parts: TicketParts, options: TicketOptions = {}): TicketSource {
  const { url, tokens, clock, logger } = parts;
  const { timeoutMs, retryDelaysMs } = { ...ticketDefaults, ...options };

  const ask = async (token: string | null, signal: AbortSignal): Promise<Ticket> => {
    const give = new AbortController();
    const giveUp = () => give.abort();
    signal.addEventListener('abort', giveUp);
    if (signal.aborted) giveUp();
    // The timer stands over the body too: a server that sends a header and then nothing must not hold the client.
    const stop = clock.after(timeoutMs, giveUp);
    try {
      // A `fetch` that was injected may not heed its signal.
      return await unlessAborted(requestTicket(parts, token, give.signal), give.signal);
    } catch (cause) {
      if (signal.aborted) throw closedError();
      if (give.signal.aborted) {
        throw new UsherError('TIMEOUT', { message: `${url} gave no answer in ${timeoutMs} ms`, cause });
      }
      if (isUsherError(cause)) throw cause;
      throw new UsherError('NETWORK', { message: `${url} cannot be reached`, cause });
    } finally {
      stop();
      signal.removeEventListener('abort', giveUp);
    }
  };

  return {
    async take({ signal, patient }) {
      let retries = 0;
      let version = tokens.version;
      let token = await tokens.renew(signal);
      for (;;) {
        try {
          return await ask(token, signal);
        } catch (error) {
          if (!isUsherError(error)) throw error;
          if (actionOf(error.code) === 'new-token' && tokens.refused(version)) {
            version = tokens.version;
            token = await tokens.renew(signal);
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

async function requestTicket(parts: TicketParts, token: string | null, signal: AbortSignal): Promise<Ticket> {
  // Called as a plain function: a browser's `fetch` refuses any other `this`.
  const { fetch, credentials } = parts;
  const response = await fetch(parts.url, {
    method: 'POST',
    signal,
    cache: 'no-store',
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    ...(credentials && { credentials }),
  });
  if (!response.ok) throw await errorOfResponse(response);
  const body = (await response.json().catch(() => null)) as Partial<Ticket> | null;
  if (typeof body?.ticket !== 'string') {
    throw new UsherError('BAD_ANSWER', { message: `${parts.url} gave no ticket`, status: response.status });
  }
  return { ticket: body.ticket, path: typeof body.path === 'string' ? body.path : '/trpc' };
}
