import { type Code, codes, type UsherError } from '@usher/contracts';
import { errorShape } from './error-shape.ts';

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

const httpStatusOf = (code: Code): number => codes[code].http ?? 500;

/** Headers of an answer that asks the caller to wait: seconds, rounded up, as HTTP wants them. */
export const retryAfterHeader = (retryAfterMs: number | undefined): Record<string, string> =>
  retryAfterMs === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))) };

/** A refusal outside tRPC, as JSON [wire.md, HTTP]. */
export const refusal = (error: UsherError, traceId: string): Response =>
  answer(error, traceId, {
    error: httpClasses[httpStatusOf(error.reason)] ?? 'ERROR',
    code: error.reason,
    message: error.message,
    traceId,
    ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
    ...(error.issues && { issues: error.issues }),
  });

/** A refusal of a call that did not come as far as tRPC, in the form its clients read. */
export const trpcRefusal = (error: UsherError, traceId: string): Response =>
  answer(error, traceId, { error: errorShape(error, traceId) });

/** tRPC's own answer to a call it could not even make a context for, with the trace id it did not know. */
export async function withTraceId(response: Response, traceId: string): Promise<Response> {
  const body = (await response.json()) as { readonly error?: { readonly data?: object } };
  const told = body.error && { error: { ...body.error, data: { ...body.error.data, traceId } } };
  return Response.json(told ?? body, { status: response.status, headers: { 'Cache-Control': 'no-store' } });
}

function answer(error: UsherError, traceId: string, body: object): Response {
  const status = httpStatusOf(error.reason);
  return Response.json(body, {
    status,
    headers: {
      'Cache-Control': 'no-store',
      'X-Trace-Id': traceId,
      ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
      ...retryAfterHeader(error.retryAfterMs),
    },
  });
}
