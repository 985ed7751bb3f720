import type { Code } from '@usher/contracts';
import { interpret } from '../../test/harness/http.ts';

/** An answer over plain HTTP: data, or the refusal's code; `NETWORK` where there was none. */
export type CallAnswer<T> =
  | { readonly data: T }
  | { readonly data: undefined; readonly code: Code | 'NETWORK'; readonly retryAfterMs: number | undefined };

export interface CallOptions {
  readonly token: string;
  readonly method: 'GET' | 'POST';
  readonly body?: string;
  /** An answer is not waited for any longer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** One HTTP call that never throws: under faults a failure is an answer like any other. */
export async function call<T>(url: string, options: CallOptions): Promise<CallAnswer<T>> {
  const { token, method, body, timeoutMs, signal } = options;
  try {
    const response = await fetch(url, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    const { data, error } = interpret<T>(await response.text());
    if (data !== undefined) return { data };
    return { data: undefined, code: error?.code ?? 'NETWORK', retryAfterMs: error?.retryAfterMs };
  } catch {
    return { data: undefined, code: 'NETWORK', retryAfterMs: undefined };
  }
}

/** Waits, or stops waiting when the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
  });
}
