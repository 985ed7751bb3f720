import crypto from 'k6/crypto';
import encoding from 'k6/encoding';

/** Where the load goes: this machine, or a service beside this one in a compose network, and nowhere else. */
export const url = (__ENV.USHER_URL ?? 'http://127.0.0.1:8787').replace(/\/+$/, '');

const host = /^https?:\/\/(\[[^\]]*\]|[^:/]+)/.exec(url)?.[1] ?? '';
if (!/^(127\.[\d.]+|localhost|\[::1\]|[a-z][a-z0-9_-]*)$/.test(host)) {
  throw new Error(`USHER_URL: wanted a url on this machine: current value is "${url}"`);
}

const secret = __ENV.JWT_SECRET?.split(',')[0];

/** Whether there may be as many users as a script wants; without a secret everybody is `USHER_TOKEN`, or nobody. */
export const manyUsers = secret !== undefined && secret !== '';

export interface Rights {
  readonly scopes?: readonly string[];
  readonly topics?: readonly string[];
}

const base64url = (value: unknown): string => encoding.b64encode(JSON.stringify(value), 'rawurl');

/** A token of this user, signed here; `null` where the service is to be asked without one. */
export function tokenOf(userId: string, { scopes = [], topics = [] }: Rights = {}): string | null {
  if (!secret) return __ENV.USHER_TOKEN || null;
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const claims = { sub: userId, sid: `session-of-${userId}`, scope: scopes.join(' '), topics };
  const payload = { ...claims, iat: nowSeconds, exp: nowSeconds + 24 * 3_600 };
  const signed = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url(payload)}`;
  return `${signed}.${crypto.hmac('sha256', secret, signed, 'base64rawurl')}`;
}

/** A worker's token: it may publish everywhere. */
export const publisherToken = (name = 'worker'): string | null =>
  tokenOf(`k6-${name}`, { scopes: ['publish'], topics: ['*'] });
