import type * as Schema from '@effect/schema/Schema';
import { limits } from '@usher/contracts/limits';
import { apiKeys } from './api-keys.ts';
import {
  bearerSecret,
  boolean,
  cookieName,
  type Field,
  host,
  httpUrl,
  integer,
  keyPrefix,
  oneOf,
  origins,
  redisUrls,
  secretList,
  text,
} from './fields.ts';

/** One environment variable: the row of the table that README, `.env.example` and the reader share. */
export interface Variable {
  readonly field: Schema.Schema.AnyNoContext;
  /** What is read when it is not given; `null`: nothing. */
  readonly default: string | null;
  readonly unit: 'ms' | 'bytes' | null;
  readonly description: string;
  /** Its value is never printed. */
  readonly secret?: true;
}

/** `setTimeout` takes no more: past it a timer fires at once. */
const maxTimerMs = 2_147_483_647;
/** What only Redis counts down may take longer. Ten years. */
const maxTtlMs = 315_360_000_000;
const maxBytes = 67_108_864;
const maxCount = 1_000_000_000;

/** A duration that a timer of this process measures. */
const timer = (fallback: number, description: string, min = 1) =>
  ({ field: integer(min, maxTimerMs), default: String(fallback), unit: 'ms', description }) as const;

const ttl = (fallback: number, description: string, min = 1) =>
  ({ field: integer(min, maxTtlMs), default: String(fallback), unit: 'ms', description }) as const;

const bytes = (fallback: number, description: string) =>
  ({ field: integer(1, maxBytes), default: String(fallback), unit: 'bytes', description }) as const;

const count = (fallback: number, description: string) =>
  ({ field: integer(1, maxCount), default: String(fallback), unit: null, description }) as const;

const optional = <A>(field: Field<A>, description: string) =>
  ({ field, default: null, unit: null, description }) as const;

const secret = <A>(field: Field<A>, description: string) =>
  ({ ...optional(field, description), secret: true }) as const;

const choice = <A, D extends string>(field: Field<A>, fallback: D, description: string) =>
  ({ field, default: fallback, unit: null, description }) as const;

/** Every variable Usher reads, in the order in which they are documented. */
export const variables = {
  HOST: choice(host, '127.0.0.1', 'Address to listen on; `0.0.0.0` for all'),
  PORT: choice(integer(0, 65_535), '8787', 'Port to listen on; 0 for any free one'),
  NODE_ENV: optional(text, '`production` refuses to run without authentication'),
  LOG_LEVEL: choice(
    oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    'info',
    'Least severe level that is logged: trace, debug, info, warn, error, fatal, silent',
  ),

  REDIS_URL: secret(
    redisUrls,
    '`redis://` or `rediss://` url; several, separated by commas, for a Cluster. Without it: memory, one process',
  ),
  REDIS_KEY_PREFIX: choice(keyPrefix, 'usher:', 'In front of every key and channel'),

  JWT_SECRET: secret(secretList, 'HS256 secret of at least 32 bytes; several, separated by commas, while rotating'),
  JWT_JWKS_URL: optional(httpUrl, 'Key set for RS256, ES256 and EdDSA tokens'),
  JWT_ISSUER: optional(text, 'The `iss` every token must carry'),
  JWT_AUDIENCE: optional(text, 'The `aud` every token must carry'),
  JWT_COOKIE: optional(cookieName, 'Cookie that may carry the token instead of the header; then Origin is checked'),
  API_KEYS: secret(apiKeys, 'JSON: `[{"id","sha256","userId","scopes":[…],"topics":[…]}]`, `sha256` of the key in hex'),
  DISABLE_AUTH: choice(
    boolean,
    'false',
    'Development: every caller is user `dev` with all scopes. Refused with `NODE_ENV=production`',
  ),
  ALLOWED_ORIGINS: optional(origins, 'Exact origins of browser apps, separated by commas. Without it: same origin'),
  TRUST_PROXY: choice(boolean, 'false', "Take the client's address from `X-Forwarded-For`"),
  METRICS_TOKEN: secret(bearerSecret, 'Bearer token for `/metrics`. Without it: loopback and private peers only'),

  TICKET_TTL_MS: timer(limits.ticketTtlMs, 'How long a ticket may be used'),
  CONSUMED_TTL_MS: timer(limits.consumedTtlMs, 'How long a handshake may be finished after its ticket was used'),
  CONSUMED_SWEEP_MS: timer(limits.consumedSweepMs, 'How often used tickets are swept from memory'),
  CONSUMED_CACHE_SIZE: count(limits.consumedCacheSize, 'Used tickets kept in memory'),

  HEARTBEAT_INTERVAL_MS: timer(limits.heartbeatIntervalMs, 'How often a silent connection is asked for a sign'),
  PONG_TIMEOUT_MS: timer(limits.pongTimeoutMs, 'How long it may take to answer'),
  WRITE_TIMEOUT_MS: timer(limits.writeTimeoutMs, 'How long a write may wait for the client to read'),
  DRAIN_TIMEOUT_MS: timer(limits.drainTimeoutMs, 'How long clients have to move over after SIGTERM', 0),

  MAX_CONNECTIONS_PER_USER: count(limits.maxConnectionsPerUser, 'Connections per user, across all instances'),
  CONNECTION_LIMIT_POLICY: choice(
    oneOf('reject', 'evict'),
    'reject',
    'What gives way at that limit: `reject` the newest, or `evict` the oldest',
  ),
  MAX_SUBSCRIPTIONS_PER_CONNECTION: count(limits.maxSubscriptionsPerConnection, 'Subscriptions on one connection'),
  MAX_UNAUTHENTICATED_SOCKETS: count(limits.maxUnauthenticatedSockets, 'Connections that still owe their ticket'),
  TICKETS_PER_MINUTE: count(limits.ticketsPerMinute, 'Tickets per user and minute'),
  PUBLISHES_PER_SECOND: count(limits.publishesPerSecond, 'Events published per user and second'),

  TOPIC_MAX_EVENTS: count(limits.topicMaxEvents, 'Events a topic keeps'),
  TOPIC_TTL_MS: ttl(limits.topicTtlMs, 'How long a topic is kept after its last event'),
  TOPIC_CLOSE_GRACE_MS: ttl(limits.topicCloseGraceMs, 'How long a closed topic can still be read', 0),
  MAX_PAYLOAD_BYTES: bytes(limits.maxPayloadBytes, 'Largest frame or body a client may send'),
  MAX_STATE_BYTES: bytes(limits.maxStateBytes, 'Largest state of a topic'),
  MAX_HISTORY_BYTES: bytes(limits.maxHistoryBytes, 'Most history sent with a snapshot'),
  MAX_REPLAY_EVENTS: count(limits.maxReplayEvents, 'Most missed events replayed before a reset is told instead'),
  BACKPRESSURE_LIMIT_BYTES: bytes(limits.backpressureLimitBytes, 'Unread bytes at which a slow client is disconnected'),
  TOPICS_MODULE: optional(text, 'Path of a module whose default export is more topic definitions'),
} as const satisfies Record<string, Variable>;

export type VariableName = keyof typeof variables;

type Read<V> = V extends { readonly field: Field<infer A>; readonly default: infer D }
  ? D extends string
    ? A
    : A | null
  : never;

/** What the variables say, by name, each read on its own. */
export type Values = { readonly [K in VariableName]: Read<(typeof variables)[K]> };
