/** Where an Usher answers, worked out from one base URL. */
export interface Endpoints {
  /** tRPC over HTTP. */
  readonly trpc: string;
  /** Where tickets are issued. */
  readonly ticket: string;
  /** The WebSocket's address for a ticket, at the path the server named. */
  socket(path: string, ticket: string): string;
}

/**
 * Works out the endpoints of the Usher at `url`, such as `https://example.com` or, behind a prefix, `/realtime` in a
 * browser. @throws TypeError when it is not an http(s) URL
 */
export function createEndpoints(url: string | URL): Endpoints {
  const { protocol, origin, pathname } = new URL(url, globalThis.location?.href);
  if (!/^https?:$/.test(protocol)) throw new TypeError(`Option "url" must be an http URL: current value is "${url}"`);
  const root = origin + pathname.replace(/\/+$/, '');
  return {
    trpc: `${root}/trpc`,
    ticket: `${root}/ws-ticket`,
    socket: (path, ticket) => `${root.replace('http', 'ws')}${path}?ticket=${encodeURIComponent(ticket)}`,
  };
}
