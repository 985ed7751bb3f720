import { type Code, codes, type Principal, UsherError } from '@usher/contracts';
import type { AuthResult } from './authenticator.ts';

export type Refusal = Extract<AuthResult, { ok: false }>;

export interface RefusalDetails {
  /** Replaces the table's message; MUST NOT hold any part of a token. */
  readonly message?: string;
  readonly retryAfterMs?: number;
}

/** An admission, complete. */
export interface Granted {
  readonly principal: Principal;
  /** In ms since 1970; 0 where nobody knows. */
  readonly issuedAt: number;
}

/** `issuedAt`, in ms since 1970: a revocation of its user ends what is older. */
export const admit = (principal: Principal, issuedAt?: number): AuthResult =>
  issuedAt === undefined ? { ok: true, principal } : { ok: true, principal, issuedAt };

/** Refuses with the table's status. */
export const refuse = (code: Code, details: RefusalDetails = {}): Refusal => ({
  ok: false,
  status: codes[code].http ?? 500,
  code,
  ...details,
});

/** @throws UsherError with the refusal's code */
export function grantedOf(result: AuthResult): Granted {
  if (result.ok) return { principal: result.principal, issuedAt: result.issuedAt ?? 0 };
  const { code, message, retryAfterMs } = result;
  throw new UsherError(code, {
    ...(message !== undefined && { message }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
