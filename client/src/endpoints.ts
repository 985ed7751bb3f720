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
 * browser. @throws TypeError when it is no URL
 */
export function createEndpoints(url: string | URL): Endpoints {
  const { href } = new URL(url, globalThis.location?.href);
  const root = href.replace(/^ws/, 'http').replace(/\/*$/, '');
  return {
    trpc: `${root}/trpc`,
    ticket: `${root}/ws-ticket`,
    socket: (path, ticket) => `ws${root.slice(4)}${path}?ticket=${encodeURIComponent(ticket)}`,
  };
}
