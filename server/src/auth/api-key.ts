import { createHash, timingSafeEqual } from 'node:crypto';
import type { ApiKey } from '../config/api-keys.ts';
import type { Authenticator } from './authenticator.ts';
import { readBearer } from './bearer.ts';
import { admit, refuse } from './verdict.ts';

export interface ApiKeyOptions {
  /** Keys by their SHA-256; while one is replaced, the old and the new stand side by side. */
  readonly keys: readonly ApiKey[];
}

/** Recognises programs by a key. The key's id is the session, so that one key can be revoked. */
export function createApiKeyAuthenticator(options: ApiKeyOptions): Authenticator {
  const keys = options.keys.map((key) => ({
    digest: Buffer.from(key.sha256, 'hex'),
    admission: admit({
      userId: key.userId,
      sessionId: key.id,
      scopes: key.scopes,
      topics: key.topics,
      expiresAt: null,
    }),
  }));
  return ({ headers }) => {
    const credential = readBearer(headers);
    if (credential.kind === 'missing') return refuse('UNAUTHORIZED');
    if (credential.kind === 'malformed') return refuse('UNAUTHORIZED', { message: credential.message });
    const digest = createHash('sha256').update(credential.token).digest();
    // Every key is compared, and none byte by byte: how long it takes must not tell which came near.
    const found = keys.filter((key) => timingSafeEqual(key.digest, digest));
    return found[0]?.admission ?? refuse('UNAUTHORIZED');
  };
}
