import { UsherError } from '@usher/contracts';

export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** A body that has not come within this time is given up. */
  readonly bodyTimeoutMs: number;
}

/**
 * The request with its body read, whole and bounded, as JSON for tRPC.
 *
 * `curl -d` calls its body a form; tRPC would refuse it. A body that begins like JSON is taken as JSON.
 *
 * @throws UsherError PAYLOAD_TOO_LARGE, BAD_REQUEST
 */
export async function readBody(request: Request, limits: BodyLimits): Promise<Request> {
  if (request.method === 'GET' || request.method === 'HEAD') return request;
  const bytes = await collect(request, limits);
  const headers = new Headers(request.headers);
  headers.set('content-type', 'application/json');
  headers.delete('transfer-encoding');
  headers.set('content-length', String(bytes.byteLength));
  return new Request(request.url, { method: request.method, headers, body: bytes, signal: request.signal });
}

/** Bodies of at most this many bytes are read from anybody. */
const smallBodyBytes = 16_384;

/** Bytes a body may take of the memory while it is read; 0 where that is too little to be counted, or it is not read. */
export function weightOf({ method, headers }: Request, { maxBodyBytes }: BodyLimits): number {
  if (method === 'GET' || method === 'HEAD') return 0;
  const stated = headers.get('content-length');
  if (stated === null) return headers.has('transfer-encoding') ? maxBodyBytes : 0;
  const bytes = Number(stated);
  return bytes <= smallBodyBytes || bytes > maxBodyBytes ? 0 : bytes;
}

/** The bytes of a body. @throws UsherError PAYLOAD_TOO_LARGE, BAD_REQUEST */
export function collect(request: Request, limits: BodyLimits): Promise<Uint8Array<ArrayBuffer>> {
  const stated = request.headers.get('content-length');
  if (stated === null) return collectChunks(request, limits);
  if (Number(stated) > limits.maxBodyBytes) return Promise.reject(tooLarge(limits));
  return collectWhole(request, limits);
}

const tooLarge = ({ maxBodyBytes }: BodyLimits): UsherError =>
  new UsherError('PAYLOAD_TOO_LARGE', { message: `A body has at most ${maxBodyBytes} bytes` });

const tooLate = ({ bodyTimeoutMs }: BodyLimits): UsherError =>
  new UsherError('BAD_REQUEST', { message: `The body did not come within ${bodyTimeoutMs} ms` });

const brokeOff = (cause: unknown): UsherError =>
  new UsherError('BAD_REQUEST', { message: 'The body broke off', cause });

/**
 * A body whose length is stated cannot outgrow it, so the runtime may read it by itself: to touch `request.body` makes a
 * stream of it, which costs more than everything else that is done for a small call.
 */
async function collectWhole(request: Request, limits: BodyLimits): Promise<Uint8Array<ArrayBuffer>> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(tooLate(limits)), limits.bodyTimeoutMs);
  });
  const read = request.arrayBuffer().catch((cause: unknown) => Promise.reject(brokeOff(cause)));
  try {
    return new Uint8Array(await Promise.race([read, late]));
  } finally {
    clearTimeout(timer);
  }
}

async function collectChunks(request: Request, limits: BodyLimits): Promise<Uint8Array<ArrayBuffer>> {
  const { maxBodyBytes, bodyTimeoutMs } = limits;
  if (request.body === null) return new Uint8Array();
  const reader = request.body.getReader();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    reader.cancel().catch(() => {});
  }, bodyTimeoutMs);
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.byteLength;
      if (length > maxBodyBytes) {
        reader.cancel().catch(() => {});
        throw tooLarge(limits);
      }
      chunks.push(value);
    }
  } catch (cause) {
    if (cause instanceof UsherError) throw cause;
    throw brokeOff(cause);
  } finally {
    clearTimeout(timer);
  }
  if (late) throw tooLate(limits);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
