import { type Principal, UsherError } from '@usher/contracts';
import type { Authenticator, AuthRequest, AuthResult } from './authenticator.ts';
import { admit, type Refusal, refuse } from './verdict.ts';

/** What an app's own function may say of a caller; `scopes` and `topics` default to none. */
export interface Caller {
  readonly userId: string;
  readonly sessionId: string;
  readonly scopes?: readonly string[];
  readonly topics?: readonly string[];
  /** When the right ends, in ms since 1970. @default null */
  readonly expiresAt?: number | null;
}

/** `null`: nobody it knows. It may also throw an `UsherError`, which is answered with its code. */
export type AuthFunction = (
  request: AuthRequest,
  options: { readonly signal: AbortSignal },
) => Caller | Refusal | null | Promise<Caller | Refusal | null>;

export interface FromFunctionOptions {
  /** How long the function may take, in ms; then the answer is `AUTH_UNAVAILABLE`. @default 5000 */
  readonly timeoutMs?: number;
  /** Calls that may be under way; past it the answer is `AUTH_UNAVAILABLE`. @default 1000 */
  readonly maxPending?: number;
  /** Told what the function threw, or that what it gave is no caller. @default nobody */
  readonly onError?: (error: unknown, request: AuthRequest) => void;
  readonly now?: () => number;
}

/** Makes an authenticator of an app's own function, such as a look-up of a session in its database. */
export function fromFunction(authenticate: AuthFunction, options: FromFunctionOptions = {}): Authenticator {
  const { timeoutMs = 5_000, maxPending = 1_000, onError = () => {}, now = Date.now } = options;
  let pending = 0;

  return async (request) => {
    if (pending >= maxPending) return refuse('AUTH_UNAVAILABLE');
    pending += 1;
    const deadline = new AbortController();
    const settled = call(request, deadline.signal).finally(() => {
      pending -= 1;
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<AuthResult>((resolve) => {
      timer = setTimeout(() => {
        resolve(refuse('AUTH_UNAVAILABLE'));
        deadline.abort();
      }, timeoutMs);
    });
    // `call` never rejects, so an answer that comes too late is simply nobody's.
    return Promise.race([settled, late]).finally(() => clearTimeout(timer));
  };

  async function call(request: AuthRequest, signal: AbortSignal): Promise<AuthResult> {
    try {
      const answer = await authenticate(request, { signal });
      if (answer === null) return refuse('UNAUTHORIZED');
      if ('ok' in answer) return answer;
      return admitCaller(answer);
    } catch (error) {
      if (error instanceof UsherError) {
        const { message, retryAfterMs } = error;
        return refuse(error.reason, { message, ...(retryAfterMs !== undefined && { retryAfterMs }) });
      }
      // What is thrown because the deadline has passed was answered by the deadline.
      if (!signal.aborted) onError(error, request);
      return refuse('INTERNAL');
    }
  }

  function admitCaller(caller: Caller): AuthResult {
    const { userId, sessionId, scopes = [], topics = [], expiresAt = null } = caller;
    if (!isName(userId)) throw new TypeError('Wanted a userId of 1 to 256 characters from the authentication function');
    if (!isName(sessionId)) return refuse('MISSING_SESSION', { message: 'The caller has no session' });
    if (!isList(scopes) || !isList(topics)) throw new TypeError('Wanted arrays of strings as scopes and topics');
    if (expiresAt !== null && !Number.isFinite(expiresAt)) throw new TypeError('Wanted expiresAt in ms since 1970');
    if (expiresAt !== null && expiresAt <= now()) return refuse('UNAUTHORIZED', { message: 'The session has expired' });
    const principal: Principal = { userId, sessionId, scopes, topics, expiresAt };
    return admit(principal);
  }
}

// An app without types may give anything.
const isName = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= 256;
const isList = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');
