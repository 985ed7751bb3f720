import type { ClientAction, Code, Issue } from '@usher/contracts';

/** What can go wrong before a server has answered, or without one. */
export type ClientCode =
  /** No answer: refused, reset, cut, or blocked by the browser. */
  | 'NETWORK'
  /** No answer in time. */
  | 'TIMEOUT'
  /** An answer that is not Usher's: a proxy's page, say. */
  | 'BAD_ANSWER'
  /** The token provider threw, or did not answer in time. */
  | 'TOKEN_UNAVAILABLE'
  /** A bounded buffer is full. */
  | 'OVERFLOW'
  /** The connection moves to another instance because the server asked. */
  | 'MOVED'
  /** `maxRetries` attempts failed and there is no fallback. */
  | 'RETRIES_EXHAUSTED'
  /** `close()` was called. */
  | 'CLOSED';

export type ErrorCode = Code | ClientCode;

/** What the client does about each code; held to the table of contracts by a test, and without its texts. */
const actions = {
  UNAUTHORIZED: 'new-token',
  MISSING_SESSION: 'final',
  TICKET_INVALID: 'new-ticket',
  FORBIDDEN: 'final',
  AUTH_UNAVAILABLE: 'back-off',
  ORIGIN_NOT_ALLOWED: 'final',
  WRONG_PATH: 'final',
  TOPIC_UNKNOWN: 'try-for-a-while',
  TOPIC_CLOSED: 'final',
  BAD_REQUEST: 'final',
  PAYLOAD_TOO_LARGE: 'final',
  RATE_LIMITED: 'wait',
  CONNECTION_LIMIT: 'wait',
  WS_TICKET_REDIS_NOT_READY: 'ticket-retry',
  REDIS_NOT_READY: 'back-off',
  DRAINING: 'wait',
  SLOW_CONSUMER: 'resume',
  SESSION_REVOKED: 'new-token',
  TOKEN_EXPIRED: 'new-token',
  INTERNAL: 'back-off',
  NETWORK: 'back-off',
  TIMEOUT: 'back-off',
  BAD_ANSWER: 'back-off',
  TOKEN_UNAVAILABLE: 'back-off',
  OVERFLOW: 'final',
  MOVED: 'resume',
  RETRIES_EXHAUSTED: 'final',
  CLOSED: 'final',
} as const satisfies Record<ErrorCode, ClientAction>;

export const actionOf = (code: ErrorCode): ClientAction => actions[code];

const byStatus: Readonly<Record<number, Code>> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  413: 'PAYLOAD_TOO_LARGE',
  429: 'RATE_LIMITED',
};

const byCloseCode: Readonly<Record<number, Code>> = {
  1008: 'UNAUTHORIZED',
  1009: 'PAYLOAD_TOO_LARGE',
  1011: 'INTERNAL',
  1012: 'DRAINING',
  1013: 'SLOW_CONSUMER',
};

const knownCode = (value: unknown): ErrorCode | undefined =>
  typeof value === 'string' && Object.hasOwn(actions, value) ? (value as ErrorCode) : undefined;

export interface UsherErrorOptions {
  readonly message?: string | undefined;
  /** The server's id of the request, for its logs. */
  readonly traceId?: string | undefined;
  /** How long the server wants to be left alone, in ms. */
  readonly retryAfterMs?: number | undefined;
  /** The HTTP status, where there was an HTTP answer. */
  readonly status?: number | undefined;
  /** The faults of a `BAD_REQUEST`. */
  readonly issues?: readonly Issue[] | undefined;
  readonly cause?: unknown;
}

/** The one error of the client. `code` is a closed union. */
export class UsherError extends Error {
  override readonly name = 'UsherError';
  readonly code: ErrorCode;
  readonly traceId: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly status: number | undefined;
  readonly issues: readonly Issue[] | undefined;

  constructor(code: ErrorCode, options: UsherErrorOptions = {}) {
    super(options.message ?? code, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.traceId = options.traceId;
    this.retryAfterMs = options.retryAfterMs;
    this.status = options.status;
    this.issues = options.issues;
  }
}

export const isUsherError = (value: unknown): value is UsherError => value instanceof UsherError;

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});
const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const delayOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;

/** Reads an error of Usher from a parsed body, tRPC's or the plain one; a stranger's is told by its status. */
export function errorOfBody(body: unknown, status: number | undefined, cause?: unknown): UsherError {
  const outer = fieldsOf(body);
  const inner = fieldsOf(outer.error);
  const data = { ...outer, ...fieldsOf(outer.data), ...fieldsOf(inner.data) };
  const code = knownCode(data.reason) ?? knownCode(outer.code) ?? byStatus[status ?? 0] ?? 'BAD_ANSWER';
  return new UsherError(code, {
    message: textOf(inner.message) ?? textOf(outer.message) ?? (status ? `HTTP ${status}` : undefined),
    traceId: textOf(data.traceId),
    retryAfterMs: delayOf(data.retryAfterMs),
    issues: Array.isArray(data.issues) ? (data.issues as readonly Issue[]) : undefined,
    status,
    cause,
  });
}

/** Reads the error of an HTTP answer, whatever its body holds. */
export async function errorOfResponse(response: Response): Promise<UsherError> {
  const body: unknown = await response.json().catch(() => undefined);
  const error = errorOfBody(body, response.status);
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  if (error.retryAfterMs !== undefined || !(seconds >= 0)) return error;
  return new UsherError(error.code, { ...error, message: error.message, retryAfterMs: seconds * 1_000 });
}

/** Turns a socket's close into an error: Usher's reason is the code; others are told by the close code. */
export const errorOfClose = (closeCode: number, reason: string): UsherError =>
  new UsherError(knownCode(reason) ?? byCloseCode[closeCode] ?? 'NETWORK', {
    message: `The connection was closed: ${closeCode}${reason && ` ${reason}`}`,
  });

/** Turns whatever a tRPC call gave into the one error. */
export function toUsherError(value: unknown): UsherError {
  if (isUsherError(value)) return value;
  const error = fieldsOf(value);
  if (isUsherError(error.cause)) return error.cause;
  const meta = fieldsOf(error.meta);
  const status = delayOf(fieldsOf(meta.response).status) ?? delayOf(fieldsOf(error.data).httpStatus);
  const answered = error.shape ?? meta.responseJSON ?? (error.data ? value : undefined);
  if (answered !== undefined || status !== undefined) return errorOfBody(answered, status, value);
  return new UsherError('NETWORK', { message: textOf(error.message), cause: value });
}
