import type { Authenticator } from './authenticator.ts';
import { type Refusal, refuse } from './verdict.ts';

/**
 * Asks one authenticator after the other. `UNAUTHORIZED` means "not one of mine"; any other answer decides, a refusal
 * too: were `AUTH_UNAVAILABLE` passed over, an outage would turn a token that may well be good into a bad one, and were
 * `INTERNAL`, whoever the broken one would have refused might be let in.
 *
 * When all say `UNAUTHORIZED`, the first that says why is the one that knew the token's kind.
 */
export function firstOf(...authenticators: readonly Authenticator[]): Authenticator {
  return async (request) => {
    let refusal: Refusal | null = null;
    for (const authenticate of authenticators) {
      const result = await authenticate(request);
      if (result.ok || result.code !== 'UNAUTHORIZED') return result;
      if (refusal === null || (refusal.message === undefined && result.message !== undefined)) refusal = result;
    }
    return refusal ?? refuse('UNAUTHORIZED');
  };
}
