import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify, type ProtectedHeaderParameters } from 'jose';
import type { Secret } from '../config/secret.ts';
import type { Authenticator, AuthRequest } from './authenticator.ts';
import { type Credential, readBearer } from './bearer.ts';
import { admitClaims } from './claims.ts';
import { type CookieOptions, readCookieToken } from './cookie.ts';
import { type KeySet, KeySetAwayError } from './key-set.ts';
import { type Refusal, refuse } from './verdict.ts';
import { createVerifiedTokens } from './verified-tokens.ts';

export interface JwtOptions {
  /** HS256 secrets, any of which may have signed. @default [] */
  readonly secrets?: readonly Secret[];
  /** Keys for RS256, ES256 and EdDSA. @default none */
  readonly keySet?: KeySet | null;
  /** The `iss` a token must carry. @default any */
  readonly issuer?: string | null;
  /** The `aud` a token must carry. @default any */
  readonly audience?: string | null;
  /** Where a token may stand besides the header. @default nowhere */
  readonly cookie?: CookieOptions | null;
  /** How far an issuer's clock may be ahead of ours, in ms; `exp` is taken at its word. @default 5000 */
  readonly clockToleranceMs?: number;
  readonly now?: () => number;
}

type Verified = { readonly claims: JWTPayload } | Refusal;
type Key = CryptoKey | Awaited<ReturnType<KeySet>>[number];

const keySetAlgorithms: readonly string[] = ['RS256', 'ES256', 'EdDSA'];

/** Recognises users by a JWT. Its algorithm decides which keys are tried, so none is ever used as another's kind. */
export function createJwtAuthenticator(options: JwtOptions): Authenticator {
  const {
    secrets = [],
    keySet = null,
    issuer,
    audience,
    cookie = null,
    clockToleranceMs = 5_000,
    now = Date.now,
  } = options;
  const verifiedTokens = createVerifiedTokens({ now });
  let secretKeys: Promise<readonly CryptoKey[]> | null = null;

  async function keysFor(header: ProtectedHeaderParameters, token: string): Promise<readonly Key[]> {
    if (header.alg === 'HS256') {
      secretKeys ??= Promise.all(secrets.map(importSecret));
      return secretKeys;
    }
    if (keySet === null || !keySetAlgorithms.includes(header.alg ?? '')) return [];
    const [encodedHeader = '', payload = '', signature = ''] = token.split('.');
    return keySet({ ...header, alg: header.alg ?? '' }, { protected: encodedHeader, payload, signature });
  }

  async function verify(token: string): Promise<Verified> {
    const header = readHeader(token);
    if (header === null) return refuse('UNAUTHORIZED');
    for (const key of await keysFor(header, token)) {
      try {
        const { payload } = await jwtVerify(token, key, {
          ...(issuer && { issuer }),
          ...(audience && { audience }),
          clockTolerance: clockToleranceMs / 1_000,
          currentDate: new Date(now()),
        });
        return { claims: payload };
      } catch (error) {
        // Only another signature may be another key's; whatever else is wrong is wrong for good.
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) return refusalOf(error);
      }
    }
    return refuse('UNAUTHORIZED');
  }

  return async (request) => {
    const credential = readCredential(request, cookie);
    if ('ok' in credential) return credential;
    if (credential.kind === 'missing') return refuse('UNAUTHORIZED');
    if (credential.kind === 'malformed') return refuse('UNAUTHORIZED', { message: credential.message });
    try {
      const known = verifiedTokens.get(credential.token);
      if (known !== undefined) return admitClaims(known, now());
      const verified = await verify(credential.token);
      if (!('claims' in verified)) return verified;
      verifiedTokens.add(credential.token, verified.claims);
      return admitClaims(verified.claims, now());
    } catch (error) {
      if (error instanceof KeySetAwayError) return refuse('AUTH_UNAVAILABLE', { retryAfterMs: error.retryAfterMs });
      throw error;
    }
  };
}

function readCredential(request: AuthRequest, cookie: CookieOptions | null): Credential | Refusal {
  const bearer = readBearer(request.headers);
  return bearer.kind === 'missing' && cookie !== null ? readCookieToken(request, cookie) : bearer;
}

/** `null`: not a JWT, an API key perhaps. */
function readHeader(token: string): ProtectedHeaderParameters | null {
  if (token.split('.', 4).length !== 3) return null;
  try {
    return decodeProtectedHeader(token);
  } catch {
    return null;
  }
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof errors.JWTExpired) return refuse('UNAUTHORIZED', { message: 'The token has expired' });
  if (error instanceof errors.JWTClaimValidationFailed) {
    return refuse('UNAUTHORIZED', { message: `The token's claim "${error.claim}" does not fit` });
  }
  if (error instanceof errors.JOSEError) return refuse('UNAUTHORIZED');
  throw error;
}

const importSecret = (secret: Secret): Promise<CryptoKey> =>
  crypto.subtle.importKey('raw', new TextEncoder().encode(secret.reveal()), { name: 'HMAC', hash: 'SHA-256' }, false, [
    'verify',
  ]);
