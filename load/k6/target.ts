/** `host` and `port` of an origin; no user, no path: `http://127.0.0.1@elsewhere` is not read as loopback. */
const originPattern = /^(https?):\/\/(\[[0-9a-f:.]+\]|[\w.-]+)(?::\d{1,5})?\/?$/i;

const isLoopback = (host: string): boolean =>
  /^127(\.\d{1,3}){3}$/.test(host) || host === 'localhost' || host === '[::1]';

/** Where the load goes: `USHER_URL`. Anything but loopback has to be named a second time, by `USHER_ALLOW_HOST`. */
function chooseTarget(url: string, allowedHost: string | undefined): string {
  const host = originPattern.exec(url)?.[2]?.toLowerCase();
  if (host === undefined) throw new TypeError(`USHER_URL must be http://host:port: current value is "${url}"`);
  if (isLoopback(host) || host === allowedHost) return url.replace(/\/$/, '');
  throw new TypeError(`Load goes to loopback only, unless USHER_ALLOW_HOST names the host: current value is "${host}"`);
}

export const httpUrl = chooseTarget(__ENV.USHER_URL || 'http://127.0.0.1:8787', __ENV.USHER_ALLOW_HOST);
export const wsUrl = httpUrl.replace(/^http/, 'ws');
