/** Sends what both tickets and calls are asked with. */
export interface RequestOptions {
  /** Cookies with HTTP requests, for servers that take a token from one. @default the platform's */
  readonly credentials?: RequestCredentials;
  /** @default globalThis.fetch */
  readonly fetch?: typeof fetch;
}

/** The caller's `fetch`, with the caller's credentials. */
export const fetchOf =
  ({ fetch, credentials }: RequestOptions) =>
  (url: Parameters<typeof globalThis.fetch>[0], init?: RequestInit): Promise<Response> =>
    // Looked up at each call, and called as a function: a browser's refuses any other `this`.
    (fetch ?? globalThis.fetch)(url, credentials ? { ...init, credentials } : init);

export const authorization = (token: string | null): Record<string, string> =>
  token === null ? {} : { authorization: `Bearer ${token}` };
