import { type Clock, pause, unlessAborted } from './clock.ts';
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
  get(signal: AbortSignal): Promise<string | null>;
  /** Asks anew: a connection that is made because its token ends must not be made with that token again. */
  renew(signal: AbortSignal): Promise<string | null>;
  /** A request with the token of `version` was refused: `true` when another may be tried. */
  refused(version: number): boolean;
  /** A request was taken: the next refusal is a first one again. */
  accepted(): void;
}

export function createTokenSource(token: TokenOption | undefined, clock: Clock, timeoutMs: number): TokenSource {
  if (typeof token !== 'function') {
    const fixed = Promise.resolve(token ?? null);
    return { version: 0, get: () => fixed, renew: () => fixed, refused: () => false, accepted: () => {} };
  }
  let current: string | null = null;
  let version = 0;
  let refusals = 0;
  // One question at a time, whoever asks: ten subscriptions must not refresh a session ten times.
  let asking: Promise<string | null> | null = null;

  const ask = async (): Promise<string | null> => {
    const answered = new AbortController();
    try {
      const answer = await Promise.race([
        token({ refused: refusals > 0 }),
        pause(clock, timeoutMs, answered.signal).then(() => {
          throw new UsherError('TOKEN_UNAVAILABLE', { message: `The token provider gave nothing in ${timeoutMs} ms` });
        }),
      ]);
      current = answer ?? null;
      return current;
    } catch (cause) {
      if (cause instanceof UsherError) throw cause;
      throw new UsherError('TOKEN_UNAVAILABLE', { message: 'The token provider failed', cause });
    } finally {
      answered.abort();
      asking = null;
    }
  };
  const renew = (signal: AbortSignal): Promise<string | null> => {
    asking ??= ask();
    return unlessAborted(asking, signal);
  };
  return {
    get version() {
      return version;
    },
    renew,
    get: (signal) => (current !== null && !asking ? Promise.resolve(current) : renew(signal)),
    refused(refusedVersion) {
      if (refusedVersion !== version) return true;
      if (refusals > 0) return false;
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
