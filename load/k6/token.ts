import crypto from 'k6/crypto';
import encoding from 'k6/encoding';

export interface Grants {
  /** @default [] */
  readonly scopes?: readonly string[];
  /** Patterns of topics: `job:*`. @default [] */
  readonly topics?: readonly string[];
}

/** Longer than any run: a soak may last a night. */
const tokenTtlSeconds = 86_400;

// A list while secrets rotate; the first is the one to sign with.
const secret = (__ENV.JWT_SECRET ?? '').split(',')[0]?.trim() ?? '';

/** Whether users differ; with `USHER_TOKEN`, or without authentication, every connection is one and the same user's. */
export const manyUsers = !__ENV.USHER_TOKEN && secret !== '';

/** `USHER_TOKEN`, or a token for this user signed with `JWT_SECRET`, or '' for a server that asks for none. */
export function tokenFor(userId: string, grants: Grants = {}): string {
  if (__ENV.USHER_TOKEN) return __ENV.USHER_TOKEN;
  if (!manyUsers) return '';
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const claims = {
    sub: userId,
    sid: `session-of-${userId}`,
    // A second back: the server's clock may be behind.
    iat: nowSeconds - 1,
    exp: nowSeconds + tokenTtlSeconds,
    scope: (grants.scopes ?? []).join(' '),
    topics: grants.topics ?? [],
    ...(__ENV.JWT_ISSUER && { iss: __ENV.JWT_ISSUER }),
    ...(__ENV.JWT_AUDIENCE && { aud: __ENV.JWT_AUDIENCE }),
  };
  const signed = [{ alg: 'HS256', typ: 'JWT' }, claims]
    .map((part) => encoding.b64encode(JSON.stringify(part), 'rawurl'))
    .join('.');
  return `${signed}.${crypto.hmac('sha256', secret, signed, 'base64rawurl')}`;
}

/** A worker's token: may publish to every topic and read it. */
export const publisherToken = (userId = 'k6-publisher'): string =>
  tokenFor(userId, { scopes: ['publish'], topics: ['*'] });
