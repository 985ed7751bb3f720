import { actionOf, errorOfResponse } from './errors.ts';
import type { TokenSource } from './token.ts';

/** How HTTP requests are sent: for tickets, polls and calls alike. */
export interface RequestOptions {
  /** Cookies with HTTP requests, for servers that take a token from one. @default the platform's */
  readonly credentials?: RequestCredentials;
  /** @default globalThis.fetch */
  readonly fetch?: typeof fetch;
}

/** The part of `fetch` that is needed, so that any of them fits. */
export type Request = (url: string | URL | globalThis.Request, init?: RequestInit) => Promise<Response>;

/** `fetch` with the caller's token; when that is refused, once more with another. */
export function createRequest(options: RequestOptions, tokens: TokenSource): Request {
  return async (url, init) => {
    for (let again = false; ; again = true) {
      const token = await tokens.get();
      const headers = new Headers(init?.headers);
      if (token !== null) headers.set('authorization', `Bearer ${token}`);
      // Looked up at each call, and called as a function: a browser's refuses any other `this`.
      const { fetch = globalThis.fetch, credentials } = options;
      const response = await fetch(url, { ...init, headers, ...(credentials && { credentials }) });
      if (response.status !== 401) return response;
      // A token without a session is refused with the same status, and no other would do.
      const { code } = await errorOfResponse(response.clone());
      if (actionOf(code) !== 'new-token' || !tokens.drop(token) || again) return response;
    }
  };
}
