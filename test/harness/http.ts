import { createTRPCClient, httpLink } from '@trpc/client';
import type { Code, IssuedTicket, UsherRouter } from '@usher/contracts';
import { within } from './wait.ts';

/** Whatever is reached by a url: a server, a proxy before it, a load balancer. */
export interface Target {
  /** `http://host:port` */
  readonly url: string;
}

/** The way to a server through a proxy's port. */
export const through = (proxy: { readonly port: number }): Target => ({ url: `http://127.0.0.1:${proxy.port}` });

export interface Refusal {
  readonly code: Code;
  readonly message: string;
  readonly traceId: string;
  readonly retryAfterMs?: number;
  readonly issues?: readonly { readonly path: string; readonly message: string }[];
}

export interface Answer<T = unknown> {
  readonly status: number;
  readonly headers: Headers;
  /** What the procedure or route answered; `undefined` when it refused. */
  readonly data: T | undefined;
  /** The refusal, in one shape inside and outside tRPC. */
  readonly error: Refusal | undefined;
  readonly text: string;
}

export interface CallOptions {
  readonly token?: string;
  /** @default {} */
  readonly headers?: Readonly<Record<string, string>>;
}

/** `POST /ws-ticket`. */
export const postTicket = (target: Target, options: CallOptions & { readonly body?: string } = {}) =>
  send<IssuedTicket>(`${target.url}/ws-ticket`, 'POST', options.body, options);

/** A ticket, or a failing test. */
export async function issueTicket(target: Target, token: string): Promise<string> {
  const answer = await postTicket(target, { token });
  if (answer.data === undefined) throw new Error(`Wanted a ticket: ${answer.status} ${answer.text}`);
  return answer.data.ticket;
}

/** `GET` of a plain route: `/healthz`. */
export const get = <T = unknown>(target: Target, path: string, options: CallOptions = {}) =>
  send<T>(`${target.url}${path}`, 'GET', undefined, options);

/** A mutation over plain HTTP: `mutate(server, 'topic.publish', {…}, { token })`. */
export const mutate = <T = unknown>(target: Target, path: string, input: unknown, options: CallOptions = {}) =>
  send<T>(`${target.url}/trpc/${path}`, 'POST', JSON.stringify(input), options);

/** A query over plain HTTP. */
export const query = <T = unknown>(target: Target, path: string, input: unknown, options: CallOptions = {}) => {
  const search = input === undefined ? '' : `?input=${encodeURIComponent(JSON.stringify(input))}`;
  return send<T>(`${target.url}/trpc/${path}${search}`, 'GET', undefined, options);
};

/** The stock tRPC client over HTTP, typed by the router. */
export const typedClient = (target: Target, token: string) =>
  createTRPCClient<UsherRouter>({
    links: [httpLink({ url: `${target.url}/trpc`, headers: { authorization: `Bearer ${token}` } })],
  });

async function send<T>(
  url: string,
  method: string,
  body: string | undefined,
  { token, headers }: CallOptions,
): Promise<Answer<T>> {
  const response = await within(
    fetch(url, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body }),
    }),
    { timeoutMs: 40_000, what: `${method} ${url}` },
  );
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, ...interpret<T>(text) };
}

interface TrpcAnswer<T> {
  readonly result?: { readonly data: T };
  readonly error?: { readonly message: string; readonly data: Omit<Refusal, 'code'> & { readonly reason: Code } };
}

/** Tells tRPC's answers, plain refusals and plain answers apart. */
export function interpret<T>(text: string): { data: T | undefined; error: Refusal | undefined } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { data: undefined, error: undefined };
  }
  const trpc = parsed as TrpcAnswer<T>;
  if (trpc.result) return { data: trpc.result.data, error: undefined };
  if (typeof trpc.error === 'object') {
    const { reason, traceId, retryAfterMs, issues } = trpc.error.data;
    return {
      data: undefined,
      error: { code: reason, message: trpc.error.message, traceId, ...optional(retryAfterMs, issues) },
    };
  }
  if (typeof trpc.error === 'string') return { data: undefined, error: parsed as Refusal };
  return { data: parsed as T, error: undefined };
}

const optional = (retryAfterMs: Refusal['retryAfterMs'], issues: Refusal['issues']) => ({
  ...(retryAfterMs !== undefined && { retryAfterMs }),
  ...(issues !== undefined && { issues }),
});
