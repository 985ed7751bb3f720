export type { BackoffOptions } from './backoff.ts';
export type { Clock } from './clock.ts';
export { type Connection, createConnection } from './connection.ts';
export type { ConnectionOptions, FallbackOptions, RetryOptions } from './connection-options.ts';
export type { Environment } from './environment.ts';
export { actionOf, type ClientCode, type ErrorCode, isUsherError, toUsherError, UsherError } from './errors.ts';
export {
  type FallbackSource,
  type PollingFallbackOptions,
  type PollingOptions,
  pollingFallbackLink,
} from './links/polling.ts';
export { type BackoffRetryOptions, backoffRetryLink } from './links/retry.ts';
export {
  createTicketedWsClient,
  type TicketedWsClient,
  type TicketLinkOptions,
  ticketLink,
} from './links/ticket.ts';
export type { Logger } from './logger.ts';
export type { BreakerOptions, BreakerState } from './pace.ts';
export type { HeartbeatOptions } from './socket.ts';
export type { ConnectionState, ConnectionStatus, UsherHandlers } from './state.ts';
export type { SubscribeCallbacks, SubscribeOptions, TopicSubscription } from './subscription.ts';
export type { TicketOptions } from './ticket.ts';
export type { TokenOption, TokenRequest } from './token.ts';
export type { HistoryOptions, PublishOptions, Topic } from './topic.ts';
export { createUsher, type Topics, type Usher, type UsherOptions } from './usher.ts';
export type { Reduce, TopicView } from './view.ts';
