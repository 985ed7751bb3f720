import type { OriginPolicy } from '../auth/origin.ts';

export interface CorsOptions {
  readonly isAllowedOrigin: OriginPolicy;
  /** A cookie authenticates: browsers may send it along. */
  readonly credentials: boolean;
}

const allowedHeaders = 'authorization, content-type, traceparent, trpc-accept, x-trace-id';
const maxAgeSeconds = 600;

/** The headers that let a page of an allowed origin read an answer; none for any other. */
export function corsHeaders(request: Request, url: URL, options: CorsOptions): Record<string, string> {
  const origin = request.headers.get('origin');
  if (origin === null || !options.isAllowedOrigin(origin, url)) return {};
  return {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Expose-Headers': 'Retry-After, X-Trace-Id',
    Vary: 'Origin',
    ...(options.credentials && { 'Access-Control-Allow-Credentials': 'true' }),
  };
}

/** Answers a browser's question before the request itself. */
export function preflight(headers: Readonly<Record<string, string>>): Response {
  const allowed = headers['Access-Control-Allow-Origin'] !== undefined;
  return new Response(null, {
    status: allowed ? 204 : 403,
    headers: {
      ...headers,
      ...(allowed && {
        'Access-Control-Allow-Methods': 'GET, POST',
        'Access-Control-Allow-Headers': allowedHeaders,
        'Access-Control-Max-Age': String(maxAgeSeconds),
      }),
    },
  });
}
