import { type Clock, within } from './clock.ts';
import { UsherError } from './errors.ts';

export interface TokenRequest {
  /** The token given before was refused: a cached one will not do. */
  readonly refused: boolean;
}

/** A JWT or an API key, or what gives one. Nothing, for cookies and for a server without authentication. */
export type TokenOption =
  | string
  | ((request: TokenRequest) => string | null | undefined | Promise<string | null | undefined>);

/** Keeps the caller's token, and asks for another when it was refused. */
export interface TokenSource {
  /** The token in use, asked for if there is none. @throws UsherError TOKEN_UNAVAILABLE */
  get(): Promise<string | null>;
  /** Asks anew: a connection that is made because its token ends must not be made with that token again. */
  renew(): Promise<string | null>;
  /** Gives up a refused token, by default the one in use; `false` when there is no other to be had. */
  drop(refusedToken?: string | null): boolean;
}

export interface TokenParts {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Aborts when the client is closed. */
  readonly signal: AbortSignal;
}

export function createTokenSource(token: TokenOption | undefined, parts: TokenParts): TokenSource {
  let current: string | null = null;
  let refused = false;
  // One question at a time, whoever asks: ten subscriptions must not refresh a session ten times.
  let asking: Promise<string | null> | null = null;

  const ask = async (): Promise<string | null> => {
    try {
      const answer =
        typeof token === 'function'
          ? await within(parts.clock, parts.timeoutMs, parts.signal, async () => token({ refused }))
          : token;
      refused = false;
      current = answer ?? null;
      return current;
    } catch (cause) {
      throw new UsherError('TOKEN_UNAVAILABLE', { cause });
    } finally {
      asking = null;
    }
  };
  const renew = () => {
    asking ??= ask();
    return asking;
  };
  return {
    renew,
    get: async () => current ?? renew(),
    drop(refusedToken = current) {
      // Others had the same token refused a moment ago, and there is another by now, or soon.
      if (refusedToken === current) {
        current = null;
        refused = true;
      }
      return typeof token === 'function';
    },
  };
}
