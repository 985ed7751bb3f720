import { createHmac, randomUUID } from 'node:crypto';
import type { DoctorOptions } from './options.ts';

/** Somebody the doctor asks as. */
export interface Caller {
  /** `null`: without one. */
  readonly token: string | null;
  /** `null`: not to be seen in the token. */
  readonly userId: string | null;
}

export interface Callers {
  /** Reads and owns what the doctor makes. */
  readonly first: Caller;
  /** `null`: there is only one. */
  readonly second: Caller | null;
  readonly publisher: Caller;
}

/** What is signed here is good for this long. */
const tokenTtlSeconds = 900;

export const nobody: Caller = { token: null, userId: null };

export function callersOf(options: DoctorOptions): Callers {
  const { jwtSecret, token, otherToken, publishToken } = options;
  const known = (text: string): Caller => ({ token: text, userId: subjectOf(text) });
  if (token !== null) {
    const first = known(token);
    return {
      first,
      second: otherToken === null ? null : known(otherToken),
      publisher: publishToken === null ? first : known(publishToken),
    };
  }
  if (jwtSecret === null) return { first: nobody, second: null, publisher: nobody };
  // While secrets rotate there are several; the first is the new one.
  const secret = jwtSecret.split(',')[0]?.trim() ?? '';
  const sign = (userId: string, scope: string): Caller => ({
    token: signToken(secret, userId, scope, options),
    userId,
  });
  const id = randomUUID().slice(0, 8);
  const first = sign(`doctor-${id}-one`, 'publish');
  return { first, second: sign(`doctor-${id}-two`, ''), publisher: first };
}

function signToken(secret: string, userId: string, scope: string, { issuer, audience }: DoctorOptions): string {
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const claims = {
    sub: userId,
    sid: randomUUID(),
    scope,
    // A clock that runs a little ahead of the server's must not make the token one of the future.
    iat: nowSeconds - 5,
    exp: nowSeconds + tokenTtlSeconds,
    ...(issuer !== null && { iss: issuer }),
    ...(audience !== null && { aud: audience }),
  };
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${head}.${createHmac('sha256', secret).update(head).digest('base64url')}`;
}

/** The user a token names; not verified here, which the server does. */
function subjectOf(token: string): string | null {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { sub?: unknown };
    return typeof claims.sub === 'string' ? claims.sub : null;
  } catch {
    return null;
  }
}
