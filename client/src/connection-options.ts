import type { BackoffOptions } from './backoff.ts';
import type { Clock } from './clock.ts';
import type { Environment } from './environment.ts';
import type { Logger } from './logger.ts';
import type { BreakerOptions } from './pace.ts';
import type { RequestOptions } from './request.ts';
import type { HeartbeatOptions } from './socket.ts';
import type { UsherHandlers } from './state.ts';
import type { TicketOptions } from './ticket.ts';
import type { TokenOption } from './token.ts';

export interface RetryOptions extends BackoffOptions {
  /** Failed attempts in a row after which the WebSocket is given up: polling stays, or the client closes. @default Infinity */
  readonly maxRetries?: number;
}

export interface FallbackOptions {
  /** Failed attempts in a row after which topics are polled. @default 3 */
  readonly afterAttempts?: number;
  /** Time without a connection after which topics are polled, in ms. @default 10000 */
  readonly afterMs?: number;
  /** Goes back to the WebSocket when it answers again. @default true */
  readonly restore?: boolean;
}

export interface ConnectionOptions extends RequestOptions {
  /** Where Usher answers: `https://example.com`, or a path in a browser. */
  readonly url: string | URL;
  /** JWT or API key, or a function that gives one; asked again for each connection and after a refusal. @default none */
  readonly token?: TokenOption;
  /** Longest wait for the token function, in ms. @default 10000 */
  readonly tokenTimeoutMs?: number;
  /** How a ticket is asked for. */
  readonly ticket?: TicketOptions;
  /** How long attempts to connect wait for each other, and how many there are. */
  readonly retry?: RetryOptions;
  /** When attempts are stopped, and for how long. */
  readonly breaker?: BreakerOptions;
  /** How a connection is found dead. */
  readonly heartbeat?: HeartbeatOptions;
  /** When topics are polled; `false`: never. */
  readonly fallback?: FallbackOptions | false;
  /** A connection that stands this long is healthy: failures before it no longer count, in ms. @default 10000 */
  readonly healthyAfterMs?: number;
  /** Told of what happens to the connection. @default none */
  readonly on?: UsherHandlers;
  /** @default silent */
  readonly logger?: Logger;
  /** @default globalThis.WebSocket */
  readonly WebSocket?: typeof WebSocket;
  /** @default the system's */
  readonly clock?: Clock;
  /** @default the browser's `navigator.onLine` and `document.visibilityState` */
  readonly environment?: Environment;
  /** @default Math.random */
  readonly random?: () => number;
}
