import { SignJWT } from 'jose';

/** The HS256 secret every server of the harness is started with; logs are searched for it. */
export const testSecret = 'harness-secret-0123456789abcdef0123456789abcdef';

export interface TokenOptions {
  /** @default 'alice' */
  readonly userId?: string;
  /** Claim `sid`; `null` leaves it out. @default `session-of-<userId>` */
  readonly sessionId?: string | null;
  /** @default [] */
  readonly scopes?: readonly string[];
  /** Granted patterns: `job:*`. @default [] */
  readonly topics?: readonly string[];
  /** Seconds from now, negative for an expired one; `null` leaves the claim out. @default 3,600 */
  readonly expiresInSeconds?: number | null;
  /** @default testSecret */
  readonly secret?: string;
  /** More claims, or others in their place. @default {} */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Signs a JWT as an identity service would. */
export function mintToken(options: TokenOptions = {}): Promise<string> {
  const { userId = 'alice', scopes = [], topics = [], expiresInSeconds = 3_600, secret = testSecret } = options;
  const sessionId = options.sessionId === undefined ? `session-of-${userId}` : options.sessionId;
  const nowSeconds = Math.floor(Date.now() / 1_000);
  return new SignJWT({
    sub: userId,
    iat: nowSeconds - 1,
    ...(sessionId !== null && { sid: sessionId }),
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    ...(topics.length > 0 && { topics }),
    ...(expiresInSeconds !== null && { exp: nowSeconds + expiresInSeconds }),
    ...options.claims,
  })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(secret));
}

/** A worker's token: may publish to every topic and read it. */
export const publisherToken = (options: TokenOptions = {}): Promise<string> =>
  mintToken({ userId: 'worker', scopes: ['publish'], topics: ['*'], ...options });

/** An operator's token. */
export const adminToken = (options: TokenOptions = {}): Promise<string> =>
  mintToken({ userId: 'operator', scopes: ['publish', 'admin'], topics: ['*'], ...options });
