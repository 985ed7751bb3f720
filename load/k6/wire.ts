// tRPC's wire as Usher speaks it: plain JSON over HTTP, text frames over a WebSocket, no transformer.
import http from 'k6/http';
import { clearTimeout, setTimeout } from 'k6/timers';
import { WebSocket } from 'k6/websockets';
import type { TopicItem } from '../../contracts/src/items.ts';
import { httpUrl, wsUrl } from './target.ts';

/** The longest wait for an answer that does not wait on purpose. */
const answerTimeoutMs = 15_000;
const openTimeoutMs = 15_000;

export interface Answer<T> {
  /** HTTP status; 0 when there was no answer at all. */
  readonly status: number;
  readonly data: T | null;
  /** The code of a refusal, '' otherwise. */
  readonly reason: string;
  readonly retryAfterMs: number | null;
}

interface Body {
  readonly result?: { readonly data: unknown };
  readonly error?: { readonly data?: { readonly reason?: string; readonly retryAfterMs?: number } };
  readonly code?: string;
  readonly retryAfterMs?: number;
}

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(() => resolve(), ms));

async function request(method: string, path: string, body: unknown, token: string, waitMs: number) {
  const response = await http.asyncRequest(method, httpUrl + path, body === undefined ? null : JSON.stringify(body), {
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    // Load that was let out of this machine by a redirect would be somebody else's.
    redirects: 0,
    timeout: answerTimeoutMs + waitMs,
    // Inputs and positions would make every request a metric of its own.
    tags: { name: path.replace(/\?.*/, '') },
  });
  let parsed: Body = {};
  try {
    parsed = JSON.parse(String(response.body ?? '')) as Body;
  } catch {
    // A balancer's own page, or nothing.
  }
  const { reason = parsed.code ?? '', retryAfterMs = parsed.retryAfterMs ?? null } = parsed.error?.data ?? {};
  return { status: response.status, parsed, refusal: { status: response.status, data: null, reason, retryAfterMs } };
}

/** Calls a procedure. `waitMs` is what a long poll may take on top of an ordinary answer. */
export async function call<T>(
  kind: 'query' | 'mutation',
  procedure: string,
  options: { readonly token: string; readonly input?: object; readonly waitMs?: number },
): Promise<Answer<T>> {
  const { token, input, waitMs = 0 } = options;
  const isQuery = kind === 'query';
  const query = isQuery && input !== undefined ? `?input=${encodeURIComponent(JSON.stringify(input))}` : '';
  const path = `/trpc/${procedure}${query}`;
  const answer = await request(isQuery ? 'GET' : 'POST', path, isQuery ? undefined : (input ?? {}), token, waitMs);
  if (answer.status !== 200 || answer.parsed.result === undefined) return answer.refusal;
  return { status: 200, data: answer.parsed.result.data as T, reason: '', retryAfterMs: null };
}

export async function issueTicket(token: string): Promise<Answer<{ readonly ticket: string; readonly path: string }>> {
  const answer = await request('POST', '/ws-ticket', {}, token, 0);
  if (answer.status !== 200) return answer.refusal;
  const data = answer.parsed as { readonly ticket: string; readonly path: string };
  return { status: 200, data, reason: '', retryAfterMs: null };
}

/** What the server says about one request, or with `id: null` about the connection. */
export interface Frame {
  readonly id: number | null;
  readonly method?: 'reconnect';
  readonly error?: { readonly data?: { readonly reason?: string; readonly retryAfterMs?: number } };
  readonly result?: {
    readonly type: 'started' | 'data' | 'stopped';
    readonly data?: { readonly id: string; readonly data: TopicItem };
  };
}

export interface SocketListener {
  readonly onOpen: () => void;
  readonly onFrame: (frame: Frame) => void;
  readonly onPong: () => void;
  /** Once, whatever ended it; `why` carries no ticket. */
  readonly onEnd: (why: string) => void;
}

export interface Socket {
  readonly subscribe: (id: number, topic: string, lastEventId: string | undefined) => void;
  /** Calls a query without an input. */
  readonly query: (id: number, path: string) => void;
  readonly ping: () => void;
  readonly close: () => void;
}

/** Opens a connection with a ticket. Whether it opens, is refused or hangs: `onEnd` comes. */
export function openSocket(path: string, ticket: string, listener: SocketListener): Socket {
  let ended = false;
  // Without a tag of its own the url, and with it the ticket, would be written into k6's outputs.
  const params = { tags: { url: path, name: path } };
  const socket = new WebSocket(`${wsUrl}${path}?ticket=${encodeURIComponent(ticket)}`, null, params);
  const end = (why: string): void => {
    if (ended) return;
    ended = true;
    clearTimeout(opening);
    socket.close();
    listener.onEnd(why);
  };
  const opening = setTimeout(() => end(`not open after ${openTimeoutMs} ms`), openTimeoutMs);
  socket.onopen = () => {
    clearTimeout(opening);
    if (!ended) listener.onOpen();
  };
  socket.onerror = (event) => end(event?.error ?? 'unknown');
  socket.onclose = () => end('closed');
  socket.onmessage = (event) => {
    if (ended) return;
    const text = String(event?.data ?? '');
    if (text === 'PING') socket.send('PONG');
    else if (text === 'PONG') listener.onPong();
    else listener.onFrame(JSON.parse(text) as Frame);
  };
  const send = (text: string): void => {
    if (!ended) socket.send(text);
  };
  return {
    subscribe: (id, topic, lastEventId) => {
      const params = { path: 'topic.subscribe', input: { topic }, lastEventId };
      send(JSON.stringify({ id, method: 'subscription', params }));
    },
    query: (id, path) => send(JSON.stringify({ id, method: 'query', params: { path } })),
    ping: () => send('PING'),
    close: () => end('closed by this side'),
  };
}
