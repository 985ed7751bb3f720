import type { AuthRequest } from './authenticator.ts';
import { type Credential, checkToken } from './bearer.ts';
import type { OriginPolicy } from './origin.ts';
import { type Refusal, refuse } from './verdict.ts';

export interface CookieOptions {
  /** The cookie that carries the token. */
  readonly name: string;
  readonly isAllowedOrigin: OriginPolicy;
}

/**
 * Reads the token from a cookie. A browser sends it along whoever asks, so the page that asks must be one of ours;
 * a program without an Origin header has `Authorization` for its token.
 */
export function readCookieToken(request: AuthRequest, options: CookieOptions): Credential | Refusal {
  const token = readCookie(request.headers.get('cookie') ?? '', options.name);
  if (token === null || token === '') return { kind: 'missing' };
  const origin = request.headers.get('origin');
  // A page's own GET carries no Origin, but tells where it comes from in a header that no page can forge.
  const sameOrigin = origin === null && request.headers.get('sec-fetch-site') === 'same-origin';
  if (!sameOrigin && (origin === null || !options.isAllowedOrigin(origin, request.url))) {
    return refuse('ORIGIN_NOT_ALLOWED', { message: 'A cookie is taken only from an allowed origin' });
  }
  return checkToken(token);
}

function readCookie(header: string, name: string): string | null {
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    return pair
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1');
  }
  return null;
}
