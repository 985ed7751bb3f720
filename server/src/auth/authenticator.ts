import type { Code, Principal } from '@usher/contracts';

/** What an authenticator may look at: a request's headers and where it came from, never its body. */
export interface AuthRequest {
  readonly headers: Headers;
  readonly url: URL;
  /** The client's address; `null` where the runtime does not tell. */
  readonly address: string | null;
  readonly traceId: string;
}

export type AuthResult =
  | {
      readonly ok: true;
      readonly principal: Principal;
      /** When the right was given, in ms since 1970; what was given before a revocation of its user ends with it. @default 0 */
      readonly issuedAt?: number;
    }
  | {
      readonly ok: false;
      /** HTTP status; the table's where it has one. */
      readonly status: number;
      readonly code: Code;
      /** Replaces the table's message; MUST NOT hold any part of a token. */
      readonly message?: string;
      readonly retryAfterMs?: number;
    };

/**
 * Tells who is asking.
 *
 * MUST answer `AUTH_UNAVAILABLE`, not `UNAUTHORIZED`, when it cannot tell.
 * MUST NOT throw; a throw is answered as `INTERNAL`.
 */
export type Authenticator = (request: AuthRequest) => AuthResult | Promise<AuthResult>;
