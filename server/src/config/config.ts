import { formatErrorSync } from '@effect/schema/ArrayFormatter';
import * as Schema from '@effect/schema/Schema';
import * as Either from 'effect/Either';
import type { ApiKey } from './api-keys.ts';
import { checkTogether } from './rules.ts';
import type { Secret } from './secret.ts';
import { type Values, type Variable, type VariableName, variables } from './variables.ts';

/** What the server runs by. Each field is one variable of `variables`; `null`: not given. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly production: boolean;
  readonly logLevel: Values['LOG_LEVEL'];
  /** More than one: a Cluster. They may hold a password: never print them. */
  readonly redisUrls: readonly string[] | null;
  readonly redisKeyPrefix: string;
  readonly jwtSecrets: readonly Secret[] | null;
  readonly jwtJwksUrl: URL | null;
  readonly jwtIssuer: string | null;
  readonly jwtAudience: string | null;
  readonly jwtCookie: string | null;
  readonly apiKeys: readonly ApiKey[] | null;
  /** Asked for, or because nothing is configured outside production. */
  readonly authDisabled: boolean;
  /** Empty: same origin only. */
  readonly allowedOrigins: readonly string[];
  readonly trustProxy: boolean;
  readonly metricsToken: Secret | null;
  readonly ticketTtlMs: number;
  readonly consumedTtlMs: number;
  readonly consumedSweepMs: number;
  readonly consumedCacheSize: number;
  readonly heartbeatIntervalMs: number;
  readonly pongTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly maxConnectionsPerUser: number;
  readonly connectionLimitPolicy: 'reject' | 'evict';
  readonly maxSubscriptionsPerConnection: number;
  readonly maxUnauthenticatedSockets: number;
  readonly ticketsPerMinute: number;
  readonly publishesPerSecond: number;
  readonly topicMaxEvents: number;
  readonly topicTtlMs: number;
  readonly topicCloseGraceMs: number;
  readonly maxPayloadBytes: number;
  readonly maxStateBytes: number;
  readonly maxHistoryBytes: number;
  readonly maxReplayEvents: number;
  readonly backpressureLimitBytes: number;
  readonly topicsModule: string | null;
  /** What an operator should be told at the start, loudly. */
  readonly warnings: readonly string[];
}

/** One thing that is wrong with one variable; `message` never holds a secret. */
export interface ConfigFault {
  readonly variable: VariableName;
  readonly message: string;
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly faults: readonly ConfigFault[] };

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ReadConfigOptions {
  /** An embedding app brings its own authenticator, which counts as configured. @default false */
  readonly hasAuthenticator?: boolean;
}

/** Reads the whole environment and tells every fault at once. An empty variable counts as not given. */
export function readConfig(env: Environment, options: ReadConfigOptions = {}): ConfigResult {
  const faults: ConfigFault[] = [];
  const values: Partial<Record<VariableName, unknown>> = {};
  const given = new Set<VariableName>();
  for (const [name, variable] of Object.entries(variables) as [VariableName, Variable][]) {
    const text = env[name]?.trim() || null;
    if (text !== null) given.add(name);
    const read = readVariable(name, variable, text);
    if (Either.isRight(read)) values[name] = read.right;
    else faults.push(...read.left);
  }
  // Rules between variables see what could be read, so that their faults are told in the same run.
  const together = checkTogether(values as Partial<Values>, given, options.hasAuthenticator ?? false);
  faults.push(...together.faults);
  if (faults.length > 0) return { ok: false, faults };
  return { ok: true, config: toConfig(values as Values, together) };
}

export type SecretsResult =
  | { readonly ok: true; readonly secrets: readonly Secret[] }
  | { readonly ok: false; readonly missing: boolean; readonly message: string };

/** Reads `JWT_SECRET` alone, for what signs tokens and must not stumble over the rest. */
export function readSecrets(env: Environment): SecretsResult {
  const text = env.JWT_SECRET?.trim() || null;
  if (text === null) return { ok: false, missing: true, message: 'Wanted a secret of at least 32 bytes: none is set' };
  const read = Schema.decodeEither(variables.JWT_SECRET.field)(text);
  if (Either.isRight(read)) return { ok: true, secrets: read.right };
  return { ok: false, missing: false, message: formatErrorSync(read.left)[0]?.message ?? 'Wanted a secret' };
}

function readVariable(
  name: VariableName,
  variable: Variable,
  given: string | null,
): Either.Either<unknown, ConfigFault[]> {
  const text = given ?? variable.default;
  if (text === null) return Either.right(null);
  const shown = variable.secret ? '' : `: current value is "${printable(text)}"`;
  return Either.mapLeft(Schema.decodeEither(variable.field)(text), (error) =>
    formatErrorSync(error).map((issue) => ({ variable: name, message: `${issue.message}${shown}` })),
  );
}

const maxPrintedCharacters = 200;

/** A user and password in a url are not printed, wherever they were put. */
const printable = (text: string): string =>
  text
    .slice(0, maxPrintedCharacters)
    .replaceAll(/\/\/[^/?#]*@/g, '//…@')
    .replaceAll(/[\r\n]/g, ' ');

function toConfig(values: Values, together: ReturnType<typeof checkTogether>): Config {
  return {
    host: together.authDisabled && !values.DISABLE_AUTH ? '127.0.0.1' : values.HOST,
    port: values.PORT,
    production: together.production,
    logLevel: values.LOG_LEVEL,
    redisUrls: values.REDIS_URL,
    redisKeyPrefix: values.REDIS_KEY_PREFIX,
    jwtSecrets: values.JWT_SECRET,
    jwtJwksUrl: values.JWT_JWKS_URL,
    jwtIssuer: values.JWT_ISSUER,
    jwtAudience: values.JWT_AUDIENCE,
    jwtCookie: values.JWT_COOKIE,
    apiKeys: values.API_KEYS,
    authDisabled: together.authDisabled,
    allowedOrigins: values.ALLOWED_ORIGINS ?? [],
    trustProxy: values.TRUST_PROXY,
    metricsToken: values.METRICS_TOKEN,
    ticketTtlMs: values.TICKET_TTL_MS,
    consumedTtlMs: values.CONSUMED_TTL_MS,
    consumedSweepMs: values.CONSUMED_SWEEP_MS,
    consumedCacheSize: values.CONSUMED_CACHE_SIZE,
    heartbeatIntervalMs: values.HEARTBEAT_INTERVAL_MS,
    pongTimeoutMs: values.PONG_TIMEOUT_MS,
    writeTimeoutMs: values.WRITE_TIMEOUT_MS,
    drainTimeoutMs: values.DRAIN_TIMEOUT_MS,
    maxConnectionsPerUser: values.MAX_CONNECTIONS_PER_USER,
    connectionLimitPolicy: values.CONNECTION_LIMIT_POLICY,
    maxSubscriptionsPerConnection: values.MAX_SUBSCRIPTIONS_PER_CONNECTION,
    maxUnauthenticatedSockets: values.MAX_UNAUTHENTICATED_SOCKETS,
    ticketsPerMinute: values.TICKETS_PER_MINUTE,
    publishesPerSecond: values.PUBLISHES_PER_SECOND,
    topicMaxEvents: values.TOPIC_MAX_EVENTS,
    topicTtlMs: values.TOPIC_TTL_MS,
    topicCloseGraceMs: values.TOPIC_CLOSE_GRACE_MS,
    maxPayloadBytes: values.MAX_PAYLOAD_BYTES,
    maxStateBytes: values.MAX_STATE_BYTES,
    maxHistoryBytes: values.MAX_HISTORY_BYTES,
    maxReplayEvents: values.MAX_REPLAY_EVENTS,
    backpressureLimitBytes: values.BACKPRESSURE_LIMIT_BYTES,
    topicsModule: values.TOPICS_MODULE,
    warnings: together.warnings,
  };
}
