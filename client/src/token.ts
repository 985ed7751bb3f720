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

/** Keeps the caller's token, and asks for another when it was refused: once, until one was accepted. */
export interface TokenSource {
  /** Counts the tokens given up; take it before a request, and give it back with a refusal. */
  readonly version: number;
  /** The token in use, asked for if there is none. @throws UsherError TOKEN_UNAVAILABLE */
  get(): Promise<string | null>;
  /** Asks anew: a connection that is made because its token ends must not be made with that token again. */
  renew(): Promise<string | null>;
  /** A request with the token of `version` was refused: `true` when another may be tried. */
  refused(version: number): boolean;
  /** A request was taken: the next refusal is a first one again. */
  accepted(): void;
}

export interface TokenParts {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Aborts when the client is closed. */
  readonly signal: AbortSignal;
}

export function createTokenSource(token: TokenOption | undefined, parts: TokenParts): TokenSource {
  const fixed = typeof token !== 'function';
  let current: string | null = null;
  let version = 0;
  let refusals = 0;
  // One question at a time, whoever asks: ten subscriptions must not refresh a session ten times.
  let asking: Promise<string | null> | null = null;

  const ask = async (): Promise<string | null> => {
    try {
      current = fixed
        ? (token ?? null)
        : ((await within(parts.clock, parts.timeoutMs, parts.signal, async () => token({ refused: refusals > 0 }))) ??
          null);
      return current;
    } catch (cause) {
      throw new UsherError('TOKEN_UNAVAILABLE', { message: 'The token provider failed', cause });
    } finally {
      asking = null;
    }
  };
  const renew = () => {
    asking ??= ask();
    return asking;
  };
  return {
    get version() {
      return version;
    },
    renew,
    get: async () => current ?? renew(),
    refused(refusedVersion) {
      if (refusedVersion !== version) return true;
      if (fixed || refusals > 0) return false;
      refusals += 1;
      version += 1;
      current = null;
      return true;
    },
    accepted() {
      refusals = 0;
    },
  };
}
