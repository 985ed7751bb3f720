import { randomUUID } from 'node:crypto';
import { type Code, limits, type Principal, type TopicDefinition, UsherError, type UsherPorts } from '@usher/contracts';
import type { Authenticator, AuthRequest } from './auth/authenticator.ts';
import { createAuthenticator } from './auth/create-authenticator.ts';
import type { AuthFailureHook } from './auth/on-auth-failure.ts';
import { createOriginPolicy } from './auth/origin.ts';
import { type Granted, grantedOf } from './auth/verdict.ts';
import type { Config } from './config/config.ts';
import { createConnectionRegistry } from './connections/registry.ts';
import { drain, drainPlan } from './drain.ts';
import { createChecks } from './health/checks.ts';
import { createDeliveryProbe } from './health/delivery-probe.ts';
import { watchEventLoop } from './health/event-loop.ts';
import { createHealth } from './health/health.ts';
import { createMemoryWatch } from './health/memory-watch.ts';
import { type Availability, createHub } from './hub/hub.ts';
import { createLeaving } from './leaving.ts';
import { createLeasedRate } from './limits/leased-rate.ts';
import { createMemoryRateLimiter } from './limits/memory.ts';
import { refuseUnless } from './limits/rate.ts';
import { createRedisRateLimiter } from './limits/redis.ts';
import { createLog, type Log } from './log.ts';
import { setGauges } from './metrics/gauges.ts';
import { createMetrics } from './metrics/metrics.ts';
import { createMemoryPresence } from './presence/memory.ts';
import { createPresence } from './presence/presence.ts';
import { createRedisPresence } from './presence/redis.ts';
import { redisAvailability } from './redis/availability.ts';
import { connectRedis } from './redis/connect.ts';
import type { RedisConnection } from './redis/connection.ts';
import { currentRuntime } from './runtime/current.ts';
import { createSampledLog } from './sampled-log.ts';
import { createMemoryTicketStore } from './tickets/memory.ts';
import { createRedisTicketStore } from './tickets/redis.ts';
import type { TicketStore } from './tickets/store.ts';
import { createTickets } from './tickets/tickets.ts';
import { createAuthorize } from './topics/authorize.ts';
import { createDefinitions } from './topics/definitions.ts';
import { createLoadState } from './topics/load-state.ts';
import type { TopicLog } from './topics/log.ts';
import { createMemoryLog } from './topics/memory.ts';
import { createPoll } from './topics/poll.ts';
import { createPublisher, type Publisher } from './topics/publisher.ts';
import { createRedisLog } from './topics/redis.ts';
import { createSubscribe } from './topics/subscribe.ts';
import { createTopics } from './topics/topics.ts';
import { createHandle } from './transport/http.ts';
import { createInFlight } from './transport/in-flight.ts';
import { createServe } from './transport/serve.ts';
import { createSockets } from './transport/sockets.ts';
import { createUpgrader, type RequestFacts } from './transport/upgrade.ts';
import { createWorkCounter } from './transport/work.ts';
import { version } from './version.ts';

export interface ServerOptions {
  readonly config: Config;
  /** Topics besides the boxed ones. @default [] */
  readonly topics?: readonly TopicDefinition[];
  /** The application's own ways to tell who asks, after keys and tokens. @default [] */
  readonly authenticators?: readonly Authenticator[];
  readonly onAuthFailure?: AuthFailureHook;
  /** @default a pino logger on standard output */
  readonly log?: Log;
  /** In place of Redis and memory: for tests that make them fail. */
  readonly stores?: ServerStores;
  /** Sees each request first; may wait, and may refuse by throwing a `UsherError`. */
  readonly intercept?: (request: Request) => void | Promise<void>;
  /** Test only: `false` delivers without proof of continuity. @default true */
  readonly checkGaps?: boolean;
}

/** What a server keeps outside itself. */
export interface ServerStores {
  readonly log: TopicLog;
  readonly tickets: TicketStore;
  readonly availability: Availability;
}

/** A running Usher. */
export interface UsherServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly instanceId: string;
  /** Publishing from this process: nothing is serialised twice, and no rate applies. */
  readonly topics: Publisher;
  readonly ports: UsherPorts;
  /** Leaves: not ready at once, clients asked to move, then closed. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** Room in a body or frame for what surrounds payload and state. */
const envelopeBytes = 65_536;
const minBodyBytes = 1_048_576;

/** How long the last answers and closing handshakes of a drain may take. */
const lastWordsMs = 250;

/** Connections of one instance: far above what its memory takes, and a bound. */
const maxConnections = 100_000;

/** So many that, of six primaries, one in fifty instances leaves one unprobed; of three, none. */
const clusterProbeChannels = 32;

/** Wires the service together and starts it: the one place that knows which twin of each port is used. */
export async function startServer(options: ServerOptions): Promise<UsherServer> {
  const { config } = options;
  const instanceId = randomUUID();
  const log = (options.log ?? createLog({ level: config.logLevel })).child({ instanceId });
  const runtime = await currentRuntime();
  const metrics = createMetrics(version, runtime.name);
  const leaving = createLeaving();
  const closers: (() => unknown)[] = [];
  const onClose = <T>(value: T, close: (value: T) => unknown): T => {
    closers.unshift(() => close(value));
    return value;
  };

  const redis: RedisConnection | null =
    config.redisUrls === null
      ? null
      : onClose(
          connectRedis({
            urls: config.redisUrls,
            keyPrefix: config.redisKeyPrefix,
            log,
            onCommand: (seconds, answered) => metrics.redisCommandSeconds.labels(String(answered)).observe(seconds),
          }),
          (connection) => connection.close(),
        );
  const probeChannels = (config.redisUrls?.length ?? 1) > 1 ? clusterProbeChannels : 1;
  const probe = redis && onClose(createDeliveryProbe({ redis, log, channels: probeChannels }), (it) => it.close());
  const memory = redis && onClose(createMemoryWatch({ redis, log }), (it) => it.close());
  const onLag = (seconds: number): void => metrics.eventLoopLagSeconds.observe(seconds);
  const eventLoop = onClose(watchEventLoop({ onLag }), (it) => it.close());

  const limiter = redis ? createRedisRateLimiter({ redis }) : createMemoryRateLimiter();
  const publishRate = createLeasedRate({ limiter, limit: config.publishesPerSecond, windowMs: 1_000 });
  const registry = onClose(
    createConnectionRegistry({
      instanceId,
      redis,
      log,
      maxConnectionsPerUser: config.maxConnectionsPerUser,
      maxConnections,
      overflow: config.connectionLimitPolicy,
    }),
    (it) => it.close(),
  );
  const tickets = onClose(
    createTickets({
      store: options.stores?.tickets ?? (redis ? createRedisTicketStore({ redis }) : createMemoryTicketStore()),
      log: createSampledLog({ log, onSuppressed: (lines) => metrics.logLinesSuppressed.inc(lines) }),
      rateLimiter: limiter,
      isRevoked: (principal, issuedAt) => registry.revocations.isRevoked(principal, issuedAt),
      onIssue: () => metrics.ticketsIssued.inc(),
      onPass: (source) => metrics.ticketPasses.labels(source).inc(),
      onOpen: (outcome) => metrics.ticketOpens.labels(outcome).inc(),
      onLost: (pass) => upgrader.lost(pass),
      ticketTtlMs: config.ticketTtlMs,
      consumedTtlMs: config.consumedTtlMs,
      consumedSweepMs: config.consumedSweepMs,
      consumedCacheSize: config.consumedCacheSize,
      ticketsPerMinute: config.ticketsPerMinute,
    }),
    (it) => it.close(),
  );

  const definitions = createDefinitions(options.topics);
  const load = createLoadState(definitions);
  const logLimits = {
    topicMaxEvents: config.topicMaxEvents,
    topicTtlMs: config.topicTtlMs,
    topicCloseGraceMs: config.topicCloseGraceMs,
  };
  const ownLog = (): TopicLog =>
    redis ? createRedisLog({ redis, ...logLimits }) : onClose(createMemoryLog(logLimits), (it) => it.close());
  const topicLog = options.stores?.log ?? ownLog();
  const availability = options.stores?.availability ?? (redis ? redisAvailability(redis) : alwaysAvailable);
  let publish: (group: string, frame: string) => void = () => {};
  const hub = onClose(
    createHub({
      log: topicLog,
      availability,
      publish: (group, frame) => publish(group, frame),
      metrics,
      logger: log,
      load,
      checkGaps: options.checkGaps ?? true,
      limits: {
        pageEvents: 64,
        pageBytes: 262_144,
        ringEvents: 256,
        ringBytes: 1_048_576,
        maxReplayEvents: config.maxReplayEvents,
        maxHistoryBytes: config.maxHistoryBytes,
        maxPending: 1_000,
      },
    }),
    (it) => it.close(),
  );
  const authorize = createAuthorize({ log: topicLog, hub });
  const tellPresence = (topic: string, change: string): void => hub.tellPresence(topic, change);
  const presence = onClose(
    createPresence({
      store: redis ? createRedisPresence({ redis }) : createMemoryPresence({ notify: tellPresence }),
      authorize: (principal, topic) => authorize(principal, definitions.resolve(topic), true),
      log,
      onMissed: tellPresence,
    }),
    (it) => it.close(),
  );
  const publisherFor = (admit: (principal: Principal, cost: number) => Promise<void>): Publisher =>
    createPublisher({ log: topicLog, hub, definitions, limits: config, metrics, admit });
  const topics = createTopics({
    log: topicLog,
    definitions,
    hub,
    load,
    maxPageBytes: config.maxHistoryBytes,
    publisher: publisherFor(async ({ userId }, cost) =>
      refuseUnless(await publishRate.take(`publish:${userId}`, cost)),
    ),
    subscribe: createSubscribe({
      hub,
      authorize,
      definitions,
      presence,
      metrics,
      maxReplayEvents: config.maxReplayEvents,
      load,
    }),
    poll: createPoll({
      hub,
      authorize,
      definitions,
      metrics,
      maxReplayEvents: config.maxReplayEvents,
      load,
      maxAnswerBytes: config.maxHistoryBytes,
      leaving,
      leavingSpreadMs: drainPlan(config.drainTimeoutMs).askFromMs,
    }),
  });

  const health = createHealth({
    version,
    instanceId,
    checks: createChecks({
      redis,
      probe,
      memory,
      availability,
      leaving,
      eventLoop,
      connections: () => registry.size,
      maxConnections,
    }),
  });
  const ports: UsherPorts = {
    tickets,
    topics,
    presence,
    connections: registry,
    health,
  };

  const maxBodyBytes = Math.max(minBodyBytes, config.maxPayloadBytes + config.maxStateBytes + envelopeBytes);
  const isAllowedOrigin = createOriginPolicy(config.allowedOrigins);
  const authenticator = createAuthenticator({
    config,
    log,
    authenticators: options.authenticators ?? [],
    onAuthFailure: options.onAuthFailure ?? null,
  });
  const isRevoked = registry.revocations.isRevoked;
  const authenticate = async (facts: RequestFacts): Promise<Granted> => {
    const granted = grantedOf(await authenticator(authRequest(facts)));
    if (isRevoked(granted.principal, granted.issuedAt)) throw new UsherError('SESSION_REVOKED');
    return granted;
  };
  const work = onClose(createWorkCounter({ isRevoked }), (it) => it.close());

  const sockets = createSockets({
    limits: {
      maxFrameBytes: maxBodyBytes,
      maxSubscriptions: config.maxSubscriptionsPerConnection,
      maxCallsInFlight: 1_000,
      paceBytes: Math.min(262_144, config.backpressureLimitBytes / 4),
      maxParkedFrames: 100,
      maxParkedBytes: maxBodyBytes,
      refusedCloseMs: 1_000,
    },
    serve: (connection) => serve(connection),
    metrics,
    heartbeatIntervalMs: config.heartbeatIntervalMs,
    pongTimeoutMs: config.pongTimeoutMs,
    writeTimeoutMs: config.writeTimeoutMs,
    connectionParamsTimeoutMs: limits.connectionParamsTimeoutMs,
    maxUnauthenticatedSockets: config.maxUnauthenticatedSockets,
  });
  const upgrader = createUpgrader({
    sockets,
    tickets,
    isAllowedOrigin,
    async authenticateRequest(facts) {
      const bearer = facts.request.headers.has('authorization');
      const cookie = config.jwtCookie !== null && facts.request.headers.has('cookie');
      if (!bearer && !cookie && !config.authDisabled) return null;
      return (await authenticate(facts)).principal;
    },
    async admit(connection, principal) {
      const { connectionId, since } = connection;
      const handle = { close: (code: Code) => connection.refuse(new UsherError(code), 0) };
      const lease = await registry.admit(
        { connectionId, principal, address: connection.request.address, since },
        handle,
      );
      return () => void lease.release();
    },
    drainingForMs: () => (leaving.since === null ? null : 1_000),
  });
  const serve = createServe({
    ports,
    log,
    onRefused: (code) => metrics.refusals.labels(code).inc(),
    authenticate: upgrader.finish,
  });

  const inFlight = createInFlight({ isLeaving: () => leaving.since !== null });
  const listener = runtime.listen({
    host: config.host,
    port: config.port,
    maxFrameBytes: maxBodyBytes * 2,
    backpressureLimitBytes: config.backpressureLimitBytes,
    handle: inFlight.wrap(
      createHandle({
        ports,
        upgrader,
        authenticate,
        work,
        body: { maxBodyBytes, bodyTimeoutMs: 10_000 },
        cors: { isAllowedOrigin, credentials: config.jwtCookie !== null },
        metrics,
        metricsToken: config.metricsToken?.reveal() ?? null,
        trustProxy: config.trustProxy,
        intercept: options.intercept ?? (() => {}),
        log,
      }),
    ),
  });
  publish = (group, frame) => {
    if (listener.publish(group, frame) === 'behind') sockets.noteBehind();
  };
  onClose(setGauges(metrics, { health, redis, probe, memory, inFlight }), (stop) => stop());

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      sockets.close();
      await listener.stop(true);
      for (const closer of closers) await closer();
    })();
    return closing;
  };

  const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${listener.port}`;
  return {
    url,
    port: listener.port,
    instanceId,
    topics: publisherFor(async () => {}),
    ports,
    async drain() {
      leaving.begin();
      await drain({ sockets, inFlight, log, timeoutMs: config.drainTimeoutMs });
      // No new connections; answers on their way get a moment to be written.
      await Promise.race([listener.stop(false), new Promise((resolve) => setTimeout(resolve, lastWordsMs))]);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

const authRequest = ({ request, url, address, traceId }: RequestFacts): AuthRequest => ({
  headers: request.headers,
  url,
  address,
  traceId,
});

/** Without Redis there is nothing that could be away. */
const alwaysAvailable: Availability = { available: true, onChange: () => () => {} };
