import { randomBytes } from 'node:crypto';

const traceIdPattern = /^[\w.:-]{1,64}$/;
const traceparentPattern = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}/;

/** The caller's trace id, from `X-Trace-Id` or `traceparent`, or a new one. */
export function traceIdOf(headers: Headers): string {
  const given = headers.get('x-trace-id');
  if (given !== null && traceIdPattern.test(given)) return given;
  const parent = headers.get('traceparent')?.match(traceparentPattern)?.[1];
  return parent ?? randomBytes(16).toString('hex');
}
