/** tRPC's wire as Usher speaks it, as much of it as a load script needs [wire.md]. */
import http from 'k6/http';
import { setTimeout } from 'k6/timers';
import { WebSocket } from 'k6/websockets';
import { codes, isCode } from '../../contracts/src/codes.ts';
import { url } from './users.ts';

/** What was answered: data, or the code of a refusal; `NETWORK` is k6's word for no answer at all. */
export type Answer<T> =
  | { readonly ok: true; readonly data: T }
  | { readonly ok: false; readonly reason: string; readonly retryAfterMs: number };

export interface TopicEvent {
  readonly position: string | null;
  readonly at: number;
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Item {
  readonly type: 'snapshot' | 'resumed' | 'reset' | 'event' | 'presence' | 'degraded' | 'restored' | 'closed';
  readonly event?: TopicEvent;
  readonly events?: readonly TopicEvent[];
}

type Json = Readonly<Record<string, unknown>>;

const timeout = '35s';
const headersOf = (token: string | null): Record<string, string> => ({
  'Content-Type': 'application/json',
  ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
});

const parse = (body: unknown): Json | null => {
  try {
    return typeof body === 'string' ? (JSON.parse(body) as Json) : null;
  } catch {
    return null;
  }
};

function refusal(status: number, details: Json | null): Answer<never> {
  const reason = details?.reason ?? details?.code;
  const retryAfterMs = Number(details?.retryAfterMs ?? 0);
  return {
    ok: false,
    reason: typeof reason === 'string' ? reason : status === 0 ? 'NETWORK' : `${status}`,
    retryAfterMs,
  };
}

/** Calls a procedure over HTTP; queries too go by POST, which the service allows. */
export function call<T>(path: string, input: unknown, token: string | null): Answer<T> {
  const response = http.post(`${url}/trpc/${path}`, JSON.stringify(input), {
    headers: headersOf(token),
    tags: { name: path },
    timeout,
  });
  const body = parse(response.body);
  const result = body?.result as { readonly data: T } | undefined;
  if (response.status === 200 && result !== undefined) return { ok: true, data: result.data };
  return refusal(response.status, (body?.error as { readonly data?: Json } | undefined)?.data ?? null);
}

export function takeTicket(token: string | null): Answer<{ readonly ticket: string; readonly path: string }> {
  const tags = { name: 'ws-ticket' };
  const response = http.post(`${url}/ws-ticket`, null, { headers: headersOf(token), tags, timeout });
  const body = parse(response.body);
  if (response.status === 200 && body !== null) return { ok: true, data: body as { ticket: string; path: string } };
  return refusal(response.status, body);
}

/** Opens a WebSocket with a ticket. The name keeps the ticket out of k6's metrics. */
export const open = (ticket: string, path = '/trpc'): WebSocket =>
  new WebSocket(`${url.replace(/^http/, 'ws')}${path}?ticket=${ticket}`, null, { tags: { name: path } });

export interface ReaderOptions {
  readonly token: string | null;
  readonly topics: readonly string[];
  item(topic: string, item: Item): void;
  /** Every topic has had its first item; `afterMs` since the ticket was asked for. */
  live?(afterMs: number): void;
  /** Something was refused or broke; the reader goes on unless the table says that it is final. */
  failed(reason: string): void;
}

const firstWaitMs = 500;
const longestWaitMs = 20_000;

/** One connection with its subscriptions, which comes back by itself and continues where it was. */
export class Reader {
  readonly #options: ReaderOptions;
  readonly #lastIds = new Map<string, string>();
  #socket: WebSocket | null = null;
  #failures = 0;
  #closed = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#connect();
  }

  /** Cuts the connection, without a word to the service, and comes back at once. */
  cut(): void {
    this.#leave();
    this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#leave();
  }

  #leave(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #fail(reason: string, retryAfterMs = 0): void {
    if (this.#closed) return;
    this.#options.failed(reason);
    if (isCode(reason) && codes[reason].client === 'final') return this.close();
    this.#again(retryAfterMs);
  }

  #again(atLeastMs: number): void {
    const waitMs = Math.random() * Math.min(longestWaitMs, firstWaitMs * 2 ** this.#failures);
    this.#failures += 1;
    setTimeout(() => this.#connect(), Math.max(atLeastMs, waitMs));
  }

  #connect(): void {
    if (this.#closed || this.#socket !== null) return;
    const startedAt = Date.now();
    const taken = takeTicket(this.#options.token);
    if (!taken.ok) return this.#fail(taken.reason, taken.retryAfterMs);
    const socket = open(taken.data.ticket, taken.data.path);
    this.#socket = socket;
    const missing = new Set(this.#options.topics);
    socket.onopen = () =>
      socket.send(JSON.stringify(this.#options.topics.map((topic, at) => this.#subscribe(topic, at))));
    socket.onmessage = (message) => {
      if (this.#socket !== socket) return;
      const data = String(message?.data);
      if (data === 'PING') return socket.send('PONG');
      this.#take(data, missing, startedAt);
    };
    socket.onerror = (event) => this.#options.failed(event?.error ?? 'socket');
    socket.onclose = () => {
      if (this.#socket !== socket || this.#closed) return;
      this.#socket = null;
      this.#fail('closed');
    };
  }

  #subscribe(topic: string, at: number): unknown {
    const lastEventId = this.#lastIds.get(topic);
    const input = { topic, ...(lastEventId === undefined ? {} : { lastEventId }) };
    return { id: at + 1, method: 'subscription', params: { path: 'topic.subscribe', input } };
  }

  #take(text: string, missing: Set<string>, startedAt: number): void {
    const frame = parse(text);
    if (frame?.method === 'reconnect') {
      this.#leave();
      return this.#again(0);
    }
    const error = frame?.error as { readonly data?: Json } | undefined;
    if (error !== undefined) return this.#options.failed(String(error.data?.reason));
    const result = frame?.result as { readonly type: string; readonly data: { id: string; data: Item } } | undefined;
    const topic = this.#options.topics[Number(frame?.id) - 1];
    if (result?.type !== 'data' || topic === undefined) return;
    this.#lastIds.set(topic, result.data.id);
    if (missing.delete(topic) && missing.size === 0) {
      this.#failures = 0;
      this.#options.live?.(Date.now() - startedAt);
    }
    this.#options.item(topic, result.data.data);
  }
}
