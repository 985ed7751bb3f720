import type { Caller } from './caller.ts';
import { Finding } from './finding.ts';

/** A refusal, in one shape inside and outside tRPC. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly traceId: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** What was answered; `undefined` when it was refused, or is no JSON. */
  readonly data: unknown;
  readonly refusal: Refusal | null;
  readonly tookMs: number;
}

export interface Http {
  readonly url: string;
  readonly timeoutMs: number;
  /** @throws Finding when nothing answers */
  send(method: string, path: string, caller: Caller, body?: string): Promise<Answer>;
  query(procedure: string, input: unknown, caller: Caller): Promise<Answer>;
  mutate(procedure: string, input: unknown, caller: Caller): Promise<Answer>;
}

export function createHttp(url: string, timeoutMs: number): Http {
  const send: Http['send'] = async (method, path, caller, body) => {
    const startedAt = performance.now();
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        // One connection a request: a balancer chooses anew each time.
        headers: {
          connection: 'close',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(caller.token !== null && { authorization: `Bearer ${caller.token}` }),
        },
        ...(body !== undefined && { body }),
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs + waitOf(path)),
      });
      const text = await response.text();
      const tookMs = Math.round(performance.now() - startedAt);
      return { status: response.status, headers: response.headers, tookMs, ...interpret(text) };
    } catch (cause) {
      const said = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
      throw new Finding(`${method} ${path.split('?')[0]} got no answer (${said})`, noAnswerHint(url), { cause });
    }
  };
  return {
    url,
    timeoutMs,
    send,
    query: (procedure, input, caller) =>
      send('GET', `/trpc/${procedure}?input=${encodeURIComponent(JSON.stringify(input))}`, caller),
    mutate: (procedure, input, caller) => send('POST', `/trpc/${procedure}`, caller, JSON.stringify(input)),
  };
}

/** A long poll is held on purpose. */
const waitOf = (path: string): number => Number(/%22waitMs%22%3A(\d+)/.exec(path)?.[1] ?? 0);

const noAnswerHint = (url: string): string =>
  `Is ${url} the address of the balancer, and does something listen there? An instance alone listens on HOST:PORT, 127.0.0.1:8787 unless told otherwise.`;

interface Body {
  readonly result?: { readonly data?: unknown };
  readonly error?: unknown;
}

function interpret(text: string): { data: unknown; refusal: Refusal | null } {
  let body: Body | null;
  try {
    body = JSON.parse(text) as Body | null;
  } catch {
    return { data: undefined, refusal: null };
  }
  if (body?.result) return { data: body.result.data, refusal: null };
  const refusal = refusalOf(body);
  return refusal === null ? { data: body, refusal: null } : { data: undefined, refusal };
}

/** Reads the refusal of a body, or of a frame; `null` where there is none. */
export function refusalOf(body: unknown): Refusal | null {
  const { error, code, message, traceId } = (body ?? {}) as Record<string, unknown>;
  if (typeof error === 'string') return { code: String(code), message: String(message), traceId: traceId as string };
  if (typeof error !== 'object' || error === null) return null;
  const inner = error as { message?: unknown; data?: { reason?: unknown; traceId?: string } };
  return { code: String(inner.data?.reason), message: String(inner.message), traceId: inner.data?.traceId };
}

/** How an answer reads in a finding. */
export const tell = ({ status, refusal }: Answer): string =>
  refusal === null ? String(status) : `${status} ${refusal.code}: ${refusal.message} (traceId ${refusal.traceId})`;
