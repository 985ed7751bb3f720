import type { JWTPayload } from 'jose';

export interface VerifiedTokensOptions {
  /** How long a signature counts as checked, in ms: a key that is withdrawn is honoured no longer than this. @default 10000 */
  readonly ttlMs?: number;
  /** Most tokens remembered; the oldest is forgotten first. @default 1000 */
  readonly maxTokens?: number;
  readonly now: () => number;
}

/** Tokens whose signature, issuer and audience were found good a moment ago, with their claims. */
export interface VerifiedTokens {
  get(token: string): JWTPayload | undefined;
  add(token: string, claims: JWTPayload): void;
}

/**
 * A worker sends the same token with every event it publishes, and to check a signature costs more than to publish one
 * [load/bench/fanout.ts]. Only good tokens are kept, so that nobody can push them out with bad ones.
 */
export function createVerifiedTokens({
  ttlMs = 10_000,
  maxTokens = 1_000,
  now,
}: VerifiedTokensOptions): VerifiedTokens {
  const known = new Map<string, { readonly claims: JWTPayload; readonly until: number }>();
  return {
    get(token) {
      const found = known.get(token);
      if (found === undefined) return undefined;
      if (now() < found.until) return found.claims;
      known.delete(token);
      return undefined;
    },
    add(token, claims) {
      known.delete(token);
      for (const oldest of known.keys()) {
        if (known.size < maxTokens) break;
        known.delete(oldest);
      }
      known.set(token, { claims, until: now() + ttlMs });
    },
  };
}
