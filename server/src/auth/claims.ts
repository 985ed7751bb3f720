import type { JWTPayload } from 'jose';
import type { AuthResult } from './authenticator.ts';
import { admit, refuse } from './verdict.ts';

const maxNameLength = 256;

/** Turns the claims of a token whose signature, issuer and audience are already known to fit into an answer. */
export function admitClaims(claims: JWTPayload, nowMs: number): AuthResult {
  const expiresAt = claims.exp === undefined ? null : Math.min(claims.exp * 1_000, Number.MAX_SAFE_INTEGER);
  if (expiresAt !== null && expiresAt <= nowMs) return refuse('UNAUTHORIZED', { message: 'The token has expired' });
  if (!isName(claims.sub)) return wrongClaim('sub', `text of 1 to ${maxNameLength} characters`);
  const scopes = readScopes(claims.scope);
  if (scopes === null) return wrongClaim('scope', 'scopes separated by spaces');
  const topics = readTopics(claims.topics);
  if (topics === null) return wrongClaim('topics', 'an array of patterns');
  const sessionId = claims.sid ?? claims.sessionId;
  if (!isName(sessionId)) return refuse('MISSING_SESSION');
  // `iat` counts seconds: a token of the same second as a revocation counts as older.
  return admit({ userId: claims.sub, sessionId, scopes, topics, expiresAt }, (claims.iat ?? 0) * 1_000);
}

const wrongClaim = (claim: string, wanted: string): AuthResult =>
  refuse('UNAUTHORIZED', { message: `The token's claim "${claim}" must be ${wanted}` });

const isName = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= maxNameLength;

function readScopes(claim: unknown): readonly string[] | null {
  if (claim === undefined || claim === null) return [];
  return typeof claim === 'string' ? claim.split(' ').filter((scope) => scope !== '') : null;
}

function readTopics(claim: unknown): readonly string[] | null {
  if (claim === undefined || claim === null) return [];
  return Array.isArray(claim) && claim.every((pattern) => typeof pattern === 'string') ? claim : null;
}
