/**
 * Defaults of every bound that clients, load scripts and the server share. Units are in the names.
 * Dependency-free. The server's environment variables override them one by one.
 */
export const limits = Object.freeze({
  ticketTtlMs: 30_000,
  consumedTtlMs: 10_000,
  consumedSweepMs: 5_000,
  establishedTtlMs: 60_000,
  connectionParamsTimeoutMs: 5_000,
  heartbeatIntervalMs: 30_000,
  pongTimeoutMs: 60_000,
  writeTimeoutMs: 10_000,
  maxConnectionsPerUser: 10,
  topicMaxEvents: 1_000,
  topicTtlMs: 86_400_000,
  topicCloseGraceMs: 300_000,
  maxPayloadBytes: 65_536,
  backpressureLimitBytes: 1_048_576,
  drainTimeoutMs: 25_000,
  maxSubscriptionsPerConnection: 100,
  maxReplayEvents: 1_000,
  maxStateBytes: 262_144,
  maxHistoryBytes: 262_144,
  ticketsPerMinute: 60,
  publishesPerSecond: 1_000,
  maxUnauthenticatedSockets: 1_000,
  consumedCacheSize: 10_000,
  /** Longest `waitMs` of a poll. */
  maxPollWaitMs: 25_000,
  /** Most events in one `topic.publishMany`, one page of `topic.history`, or one `history` of a snapshot. */
  maxBatchEvents: 1_000,
  maxTopicNameLength: 64,
  maxTopicIdLength: 256,
  maxIdempotencyKeyLength: 128,
  /** Levels of arrays and objects in a payload or a state. */
  maxJsonDepth: 128,
} as const);

/** Paths on which an upgrade is taken; they are one place under three names. */
export const upgradePaths = ['/trpc', '/ws', '/websocket'] as const;
