import type { AuthRequest } from './authenticator.ts';

/** A request as the transport hands it over. */
export const authRequest = (
  headers: Record<string, string> = {},
  url = 'http://usher.example/ws-ticket',
): AuthRequest => ({
  headers: new Headers(headers),
  url: new URL(url),
  address: '192.0.2.7',
  traceId: 'trace-1',
});

export const withToken = (token: string): AuthRequest => authRequest({ authorization: `Bearer ${token}` });
