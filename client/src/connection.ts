import { type Clock, closedError, systemClock } from './clock.ts';
import type { ConnectionOptions } from './connection-options.ts';
import { createEndpoints, type Endpoints } from './endpoints.ts';
import { hostEnvironment } from './environment.ts';
import { actionOf, toUsherError, UsherError } from './errors.ts';
import { type Logger, quietLogger } from './logger.ts';
import { createNotifier, type Notifier } from './notifier.ts';
import { createPace, type Pace } from './pace.ts';
import { createRequest, type Request } from './request.ts';
import { createSocketClass, type WatchedSocket } from './socket.ts';
import type { ConnectionState, UsherHandlers } from './state.ts';
import { createTicketSource } from './ticket.ts';
import { createTokenSource } from './token.ts';

// A sign of life is asked for within this time when the network or the page comes back.
const verifyTimeoutMs = 5_000;

/** The one state machine of a client: retry, backoff, breaker, fallback and the way back. */
export interface Connection {
  readonly state: ConnectionState;
  /** Tells of each change of state, after it; the answer stops it. */
  watch(listener: (state: ConnectionState) => void): () => void;
  /** Calls a handler of the caller's; it may throw. */
  readonly tell: Notifier<ConnectionState, UsherHandlers>['tell'];
  /** The address of the next attempt, when its time has come: each call is an attempt, with a ticket of its own. Never after `close()`. */
  nextUrl(): Promise<string>;
  /** The class of the sockets it watches; each belongs to the attempt before it. @throws TypeError where there is none */
  readonly WebSocket: typeof WebSocket;
  /** The budget of attempts to connect, and its breaker. */
  readonly attempts: Pace;
  /** The budget of polls, shared by all topics. */
  readonly polls: Pace;
  /** `fetch` with the caller's token. */
  readonly request: Request;
  readonly endpoints: Endpoints;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** Aborts when the connection closes for good. */
  readonly signal: AbortSignal;
  /** Opens a second connection, with a new token, and then leaves the first. */
  move(): void;
  /** Closes for good; `error` is why, if it was not asked for. */
  close(error?: UsherError | null): void;
}

export function createConnection(options: ConnectionOptions): Connection {
  const { clock = systemClock, environment = hostEnvironment, logger = quietLogger, random = Math.random } = options;
  const { tokenTimeoutMs = 10_000, healthyAfterMs = 10_000, on = {} } = options;
  const { maxRetries = Infinity, ...backoff } = options.retry ?? {};
  const { fallback = {} } = options;
  const { afterAttempts = 3, afterMs = 10_000, restore = true } = fallback || {};
  const endpoints = createEndpoints(options.url);
  const closing = new AbortController();
  const tokens = createTokenSource(options.token, { clock, timeoutMs: tokenTimeoutMs, signal: closing.signal });
  const attempts = createPace({ random, ...backoff, clock, environment, breaker: options.breaker ?? {} });
  // A server that answers polls again is worth a try before the breaker's time is up.
  const polls = createPace({ random, ...backoff, clock, environment, onRecovered: attempts.hurry });
  const request = createRequest(options, tokens);
  const tickets = createTicketSource({ url: endpoints.ticket, tokens, request, clock, logger }, options.ticket);
  const { watch, emit, tell } = createNotifier<ConnectionState, UsherHandlers>(logger, on);
  /** Sockets the server answers on: one, and two while moving. */
  const live = new Set<WatchedSocket>();
  let state: ConnectionState = { status: 'idle' };
  let wasLive = false;
  let healthy = true;
  let tries = 0;
  let stopHealth = () => {};
  let stopPatience = () => {};
  let lastError = new UsherError('TIMEOUT');

  const enter = (next: ConnectionState) => {
    const { status } = state;
    state = next;
    if (next.status !== status) beginPatience();
    emit(next);
  };

  const beginPatience = () => {
    stopPatience();
    if (state.status === 'connecting') stopPatience = clock.after(afterMs, fallBack);
  };

  /** Polls instead, when the state has lasted: a lost socket gives its subscriptions no error to go by. */
  const fallBack = () => {
    if (!fallback || state.status !== 'connecting') return;
    // Without a network there is nothing to poll either.
    if (!environment.online) return beginPatience();
    const { code, status } = lastError;
    const hard = code === 'WS_TICKET_REDIS_NOT_READY';
    if (hard) logger.info('[WS] Hard failure - Redis not ready', { status, code });
    logger.warn(
      hard
        ? '[WS] Ticket request failed: 503 SERVICE_UNAVAILABLE (Redis not ready after retries) - falling back to polling-only mode'
        : '[WS] No connection - falling back to polling-only mode',
      { status, code },
    );
    enter({ status: 'polling', reason: code });
    tell('onFallback', code);
  };

  const failed = (error: UsherError) => {
    lastError = error;
    healthy = false;
    attempts.failed(error.retryAfterMs);
    if (actionOf(error.code) === 'final') return close(error);
    // A move that failed: what is live serves on.
    if (live.size > 0) return;
    const exhausted = attempts.failures > maxRetries;
    if (exhausted && !fallback) return close(new UsherError('RETRIES_EXHAUSTED', { cause: error }));
    if (state.status === 'connecting') enter({ status: 'connecting', attempt: tries + 1 });
    if (exhausted || attempts.failures >= afterAttempts || error.code === 'WS_TICKET_REDIS_NOT_READY') fallBack();
  };

  const nextUrl = async () => {
    // tRPC's client opens again for a request that comes after close(); refused, it would ask again in a hot loop.
    if (state.status === 'closed') return new Promise<string>(() => {});
    if (state.status === 'idle') enter({ status: 'connecting', attempt: 1 });
    await attempts.turn(
      closing.signal,
      attempts.failures === 0 && (live.size > 0 || (tries === 0 && !wasLive)),
      () => attempts.failures > maxRetries || (state.status === 'polling' && !restore),
    );
    tries += 1;
    try {
      const { ticket, path } = await tickets.take({ signal: closing.signal, patient: state.status !== 'polling' });
      logger.debug('[WS] Ticket OK, connecting...');
      return endpoints.socket(path, ticket);
    } catch (cause) {
      if (closing.signal.aborted) throw closedError();
      const error = toUsherError(cause);
      // Another token was tried already.
      if (actionOf(error.code) === 'new-token') close(error);
      else failed(error);
      throw error;
    }
  };

  const proven = (socket: WatchedSocket) => {
    if (state.status === 'closed') return;
    // Moves one after the other are failures too, or a server that asks at once again makes a hot loop.
    if (live.size > 0 && !healthy) attempts.failed();
    live.add(socket);
    healthy = false;
    stopHealth();
    stopHealth = clock.after(healthyAfterMs, () => {
      healthy = true;
      attempts.healthy();
    });
    if (state.status === 'live') return;
    const { status } = state;
    const took = tries;
    tries = 0;
    logger.info('[WS] Connected');
    enter({ status: 'live' });
    if (!wasLive) tell('onConnect');
    else if (status === 'connecting') tell('onReconnect', took);
    wasLive = true;
    if (status === 'polling') tell('onRestore');
  };

  const lost = (socket: WatchedSocket, error: UsherError) => {
    const served = live.delete(socket);
    if (state.status === 'closed' || (served && live.size > 0)) return;
    if (served) {
      stopHealth();
      enter({ status: 'connecting', attempt: 1 });
      tell('onDisconnect', error.code);
    }
    // Another token is tried once: the last connection did not stand, and ended in the same way.
    const again = !healthy && actionOf(lastError.code) === 'new-token';
    if (actionOf(error.code) === 'new-token' && (again || !tokens.drop())) return close(error);
    // One that stood long enough is no failure; the first attempt after it still has its jitter.
    if (served && healthy && !error.retryAfterMs && actionOf(error.code) !== 'final') lastError = error;
    else failed(error);
  };

  const close = (error: UsherError | null = null) => {
    if (state.status === 'closed') return;
    stopHealth();
    closing.abort();
    const { code: reason } = error ?? closedError();
    enter({ status: 'closed', reason, error });
    tell('onClose', reason, error);
  };

  environment.watch(() => {
    if (!environment.visible) return;
    for (const socket of live) socket.verify(verifyTimeoutMs);
    // Who waits while offline waits on: there is no turn without a network.
    attempts.hurry();
    polls.hurry();
  }, closing.signal);

  return {
    get state() {
      return state;
    },
    attempts,
    watch,
    tell,
    nextUrl,
    polls,
    request,
    endpoints,
    clock,
    random,
    logger,
    signal: closing.signal,
    WebSocket: createSocketClass({ base: options.WebSocket, observer: { proven, lost }, clock }, options.heartbeat),
    move() {
      for (const socket of live) socket.move();
    },
    close,
  };
}
