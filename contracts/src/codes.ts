/**
 * Every code Usher answers with, as data: HTTP status, WebSocket close code, tRPC code, and what a client does next.
 * Dependency-free: browsers, k6 and tests import this file as it is.
 */
export interface CodeEntry {
  /** HTTP status; `null` where the code never travels over HTTP. */
  readonly http: number | null;
  /** WebSocket close code; `null` where no socket is closed for it. */
  readonly close: number | null;
  /** tRPC's own code, found in an error's `data.code`. */
  readonly trpc: TrpcCode;
  /** What a client does about it. */
  readonly client: ClientAction;
  /** The message sent when the place that refuses has nothing more exact to say. */
  readonly message: string;
}

export type TrpcCode =
  | 'BAD_REQUEST'
  | 'UNAUTHORIZED'
  | 'FORBIDDEN'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'PAYLOAD_TOO_LARGE'
  | 'TOO_MANY_REQUESTS'
  | 'SERVICE_UNAVAILABLE'
  | 'INTERNAL_SERVER_ERROR';

export type ClientAction =
  /** Drop the token, get another, once. */
  | 'new-token'
  /** Get another ticket. */
  | 'new-ticket'
  /** Give up and tell the user. */
  | 'final'
  /** Exponential backoff with jitter. */
  | 'back-off'
  /** Wait for `retryAfterMs`, then again. */
  | 'wait'
  /** 200, 500, 1,000 ms, then polling. */
  | 'ticket-retry'
  /** Again for 10 s, then final. */
  | 'try-for-a-while'
  /** Reconnect and continue from the last position. */
  | 'resume';

export const codes = {
  UNAUTHORIZED: {
    http: 401,
    close: 1008,
    trpc: 'UNAUTHORIZED',
    client: 'new-token',
    message: 'A valid bearer token is required',
  },
  MISSING_SESSION: {
    http: 401,
    close: 1008,
    trpc: 'UNAUTHORIZED',
    client: 'final',
    message: 'The token carries no session: claim "sid" or "sessionId" is required',
  },
  TICKET_INVALID: {
    http: 401,
    close: 1008,
    trpc: 'UNAUTHORIZED',
    client: 'new-ticket',
    message: 'The ticket is unknown, used or expired',
  },
  FORBIDDEN: {
    http: 403,
    close: 1008,
    trpc: 'FORBIDDEN',
    client: 'final',
    message: 'The caller lacks the scope for this',
  },
  AUTH_UNAVAILABLE: {
    http: 503,
    close: null,
    trpc: 'SERVICE_UNAVAILABLE',
    client: 'back-off',
    message: 'Tokens cannot be verified at the moment',
  },
  ORIGIN_NOT_ALLOWED: {
    http: 403,
    close: null,
    trpc: 'FORBIDDEN',
    client: 'final',
    message: 'This origin is not allowed',
  },
  WRONG_PATH: {
    http: 404,
    close: null,
    trpc: 'NOT_FOUND',
    client: 'final',
    message: 'WebSocket upgrades are taken on /trpc, /ws and /websocket',
  },
  TOPIC_UNKNOWN: {
    http: 404,
    close: null,
    trpc: 'NOT_FOUND',
    client: 'try-for-a-while',
    message: 'There is no such topic',
  },
  TOPIC_CLOSED: { http: 409, close: null, trpc: 'CONFLICT', client: 'final', message: 'The topic is closed' },
  BAD_REQUEST: { http: 400, close: null, trpc: 'BAD_REQUEST', client: 'final', message: 'The request is not valid' },
  PAYLOAD_TOO_LARGE: {
    http: 413,
    close: 1009,
    trpc: 'PAYLOAD_TOO_LARGE',
    client: 'final',
    message: 'The payload is too large',
  },
  RATE_LIMITED: { http: 429, close: 1008, trpc: 'TOO_MANY_REQUESTS', client: 'wait', message: 'Too many requests' },
  CONNECTION_LIMIT: {
    http: 429,
    close: 1008,
    trpc: 'TOO_MANY_REQUESTS',
    client: 'wait',
    message: 'Too many connections',
  },
  WS_TICKET_REDIS_NOT_READY: {
    http: 503,
    close: null,
    trpc: 'SERVICE_UNAVAILABLE',
    client: 'ticket-retry',
    message: 'WebSocket ticket service temporarily unavailable - Redis not ready',
  },
  REDIS_NOT_READY: {
    http: 503,
    close: null,
    trpc: 'SERVICE_UNAVAILABLE',
    client: 'back-off',
    message: 'The log cannot be reached at the moment',
  },
  DRAINING: {
    http: 503,
    close: 1012,
    trpc: 'SERVICE_UNAVAILABLE',
    client: 'wait',
    message: 'This instance is leaving',
  },
  SLOW_CONSUMER: {
    http: null,
    close: 1013,
    trpc: 'INTERNAL_SERVER_ERROR',
    client: 'resume',
    message: 'The connection reads more slowly than events arrive',
  },
  SESSION_REVOKED: {
    http: 401,
    close: 1008,
    trpc: 'UNAUTHORIZED',
    client: 'new-token',
    message: 'The session was revoked',
  },
  TOKEN_EXPIRED: {
    http: 401,
    close: 1008,
    trpc: 'UNAUTHORIZED',
    client: 'new-token',
    message: 'The token has expired',
  },
  INTERNAL: { http: 500, close: 1011, trpc: 'INTERNAL_SERVER_ERROR', client: 'back-off', message: 'Internal error' },
} as const satisfies Record<string, CodeEntry>;

/** The closed union of codes: `code` outside tRPC, `data.reason` inside it. */
export type Code = keyof typeof codes;

/** Narrows an unknown value, such as a parsed `data.reason`, to a code of the table. */
export const isCode = (value: unknown): value is Code => typeof value === 'string' && Object.hasOwn(codes, value);
