import type { Code } from '@usher/contracts';
import type { Log } from '../log.ts';
import type { Authenticator, AuthRequest } from './authenticator.ts';
import { refuse } from './verdict.ts';

/** What is told of a refused caller; no header that could carry a token, and no query, which carries tickets. */
export interface AuthFailure {
  readonly code: Code;
  /** HTTP status of the answer. */
  readonly status: number;
  readonly traceId: string;
  readonly address: string | null;
  readonly path: string;
  readonly origin: string | null;
  readonly userAgent: string | null;
}

/** Told of each refusal, for an audit or a metric. Its answer is not waited for, its failure only logged. */
export type AuthFailureHook = (failure: AuthFailure) => void | Promise<void>;

const maxFactLength = 256;

/** Tells `hook` of refusals, and answers `INTERNAL` where the authenticator throws. */
export function withFailureHook(authenticate: Authenticator, hook: AuthFailureHook | null, log: Log): Authenticator {
  return async (request) => {
    const result = await Promise.resolve(request)
      .then(authenticate)
      .catch((error: unknown) => {
        log.error({ err: error, traceId: request.traceId }, 'the authenticator failed');
        return refuse('INTERNAL');
      });
    if (!result.ok && hook !== null) tell(hook, describe(request, result.code, result.status), log);
    return result;
  };
}

function tell(hook: AuthFailureHook, failure: AuthFailure, log: Log): void {
  Promise.resolve(failure)
    .then(hook)
    .catch((error: unknown) => log.error({ err: error, traceId: failure.traceId }, 'onAuthFailure failed'));
}

function describe(request: AuthRequest, code: Code, status: number): AuthFailure {
  const fact = (name: string) => request.headers.get(name)?.slice(0, maxFactLength) ?? null;
  return {
    code,
    status,
    traceId: request.traceId,
    address: request.address,
    path: request.url.pathname.slice(0, maxFactLength),
    origin: fact('origin'),
    userAgent: fact('user-agent'),
  };
}
