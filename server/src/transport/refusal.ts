import { type Code, codes, type UsherError } from '@usher/contracts';

const httpClasses: Readonly<Record<number, string>> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  409: 'CONFLICT',
  413: 'PAYLOAD_TOO_LARGE',
  429: 'TOO_MANY_REQUESTS',
  500: 'INTERNAL_SERVER_ERROR',
  503: 'SERVICE_UNAVAILABLE',
};

export const httpStatusOf = (code: Code): number => codes[code].http ?? 500;

/** Headers of an answer that asks the caller to wait: seconds, rounded up, as HTTP wants them. */
export const retryAfterHeader = (retryAfterMs: number | undefined): Record<string, string> =>
  retryAfterMs === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) };

/** A refusal outside tRPC, as JSON [wire.md, HTTP]. */
export function refusal(error: UsherError, traceId: string, status = httpStatusOf(error.reason)): Response {
  return Response.json(
    {
      error: httpClasses[status] ?? 'ERROR',
      code: error.reason,
      message: error.message,
      traceId,
      ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
      ...(error.issues && { issues: error.issues }),
    },
    {
      status,
      headers: {
        'Cache-Control': 'no-store',
        'X-Trace-Id': traceId,
        ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
        ...retryAfterHeader(error.retryAfterMs),
      },
    },
  );
}
