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

/** What an HTTP status or a close code says where there is no code of Usher's; the two do not overlap. */
const byNumber: Readonly<Record<number, Code>> = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  413: 'PAYLOAD_TOO_LARGE',
  429: 'RATE_LIMITED',
  1008: 'UNAUTHORIZED',
  1009: 'PAYLOAD_TOO_LARGE',
  1011: 'INTERNAL',
  1012: 'DRAINING',
  1013: 'SLOW_CONSUMER',
};

// A broken server must not send a client away for a day.
const maxRetryAfterMs = 300_000;

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
  declare readonly traceId?: string;
  declare readonly retryAfterMs?: number;
  declare readonly status?: number;
  declare readonly issues?: readonly Issue[];

  constructor(code: ErrorCode, options: UsherErrorOptions = {}) {
    const { message = code, cause, ...fields } = options;
    super(message, { cause });
    this.code = code;
    Object.assign(this, fields);
  }
}

export const isUsherError = (value: unknown): value is UsherError => value instanceof UsherError;

/** The fields an error of Usher may have, tRPC's or the plain one; a stranger's body has whatever it has. */
interface ErrorBody {
  readonly error?: ErrorBody | string;
  readonly data?: ErrorBody;
  readonly reason?: unknown;
  readonly code?: unknown;
  readonly message?: string;
  readonly traceId?: string;
  readonly retryAfterMs?: unknown;
  readonly issues?: readonly Issue[];
  readonly httpStatus?: number;
}

/** Reads the error a server gave in a parsed body; one that is not Usher's is told by its status. */
export function errorOfBody(body: unknown, options: Pick<UsherErrorOptions, 'status' | 'retryAfterMs' | 'cause'>) {
  const outer = (body ?? {}) as ErrorBody;
  const shape = typeof outer.error === 'object' ? outer.error : outer;
  const { reason, code, message, traceId, retryAfterMs, issues } = { ...shape, ...shape.data } as ErrorBody;
  return new UsherError(knownCode(reason) ?? knownCode(code) ?? byNumber[options.status ?? 0] ?? 'BAD_ANSWER', {
    ...options,
    message,
    traceId,
    issues,
    retryAfterMs: Math.min(Number(retryAfterMs ?? options.retryAfterMs), maxRetryAfterMs) || undefined,
  });
}

/** Reads the error of an HTTP answer, whatever its body holds. */
export async function errorOfResponse(response: Response): Promise<UsherError> {
  const retryAfterMs = Number(response.headers.get('retry-after')) * 1_000;
  return errorOfBody(await response.json().catch(() => null), { status: response.status, retryAfterMs });
}

/** Turns a socket's close into an error: Usher's reason is the code; others are told by the close code. */
export const errorOfClose = (closeCode: number, reason: string): UsherError =>
  new UsherError(knownCode(reason) ?? byNumber[closeCode] ?? 'NETWORK');

/** What a `TRPCClientError` holds, which may be of another copy of tRPC's client. */
interface TrpcError {
  readonly cause?: unknown;
  readonly message?: string;
  readonly shape?: ErrorBody;
  readonly meta?: { readonly response?: { readonly status: number }; readonly responseJSON?: unknown };
}

/** Turns whatever a tRPC call gave into the one error. */
export function toUsherError(cause: unknown): UsherError {
  if (isUsherError(cause)) return cause;
  const { cause: inner, message, shape, meta } = (cause ?? {}) as TrpcError;
  if (isUsherError(inner)) return inner;
  const status = meta?.response?.status ?? shape?.data?.httpStatus;
  if (shape || status) return errorOfBody(shape ?? meta?.responseJSON, { status, cause });
  return new UsherError('NETWORK', { message, cause });
}
