import type { Logger } from 'pino';
import type { RedisState } from './connection.ts';

/** What a line needs of the client it carries: one server's, or a cluster's. */
export interface LineClient {
  connect(): Promise<unknown>;
  destroy(): void;
  /** Rejects when Redis does not answer. */
  check(): Promise<unknown>;
  /** Called once, when the client has ended and will not come back by itself. */
  onEnd(listener: (cause: unknown) => void): void;
}

export interface LineOptions<TClient extends LineClient> {
  readonly name: string;
  /** Makes a client that is not yet connected. */
  readonly make: () => TClient;
  /** Runs before the line is called ready, e.g. to subscribe again; its rejection ends the attempt. */
  readonly prepare?: (client: TClient) => Promise<void>;
  readonly log: Logger;
  /** A connect, with its greeting, may take this long. @default 5000 */
  readonly connectTimeoutMs?: number;
  /** Waits between attempts; the last repeats, with jitter. @default [1000, 2000, 4000, 5000] */
  readonly retryDelaysMs?: readonly number[];
  /** How often an otherwise idle line is checked. @default 2000 */
  readonly checkIntervalMs?: number;
  /** A check unanswered for this long makes the line `away`. @default 1000 */
  readonly checkTimeoutMs?: number;
  readonly random?: () => number;
}

/** One connection that is kept: opened, watched, and opened again when it has gone. */
export interface Line<TClient extends LineClient> {
  readonly state: RedisState;
  /** The client while the line is ready. */
  readonly client: TClient | null;
  /** Something took too long: look whether anybody is still there. */
  suspect(): void;
  /** Opens another client at once; where `client` is given, only if it is the one the line has. */
  restart(reason: string, client?: TClient): void;
  onState(listener: (state: RedisState) => void): () => void;
  close(): void;
}

/** Rejects with `message` when `promise` has not settled within `ms`. */
export function within<T>(promise: Promise<T>, ms: number, message: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(message()), ms);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

export function createLine<TClient extends LineClient>(options: LineOptions<TClient>): Line<TClient> {
  const connectTimeoutMs = options.connectTimeoutMs ?? 5_000;
  const retryDelaysMs = options.retryDelaysMs ?? [1_000, 2_000, 4_000, 5_000];
  const checkIntervalMs = options.checkIntervalMs ?? 2_000;
  const checkTimeoutMs = options.checkTimeoutMs ?? 1_000;
  const random = options.random ?? Math.random;
  const listeners = new Set<(state: RedisState) => void>();

  let state: RedisState = 'away';
  let current: TClient | null = null;
  let failures = 0;
  let closed = false;
  let checking = false;
  let warned = false;
  let retryTimer: ReturnType<typeof setTimeout> | undefined;

  const setState = (next: RedisState, detail: Record<string, unknown>): void => {
    if (state === next) return;
    state = next;
    // One line a transition: a Redis that is away for an hour is one warning, not seven hundred.
    if (next === 'ready') options.log.info({ line: options.name, ...detail }, '[Redis] ready');
    else options.log.warn({ line: options.name, ...detail }, '[Redis] away');
    warned = next === 'away';
    for (const listener of [...listeners]) listener(next);
  };

  const drop = (client: TClient): void => {
    try {
      client.destroy();
    } catch {
      // A client that never opened refuses to be destroyed; there is nothing left of it either way.
    }
  };

  const lost = (client: TClient, cause: unknown): void => {
    if (current !== client) return;
    current = null;
    drop(client);
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (state === 'away' && !warned && !closed) {
      warned = true;
      options.log.warn({ line: options.name, reason }, '[Redis] away');
    }
    setState('away', { reason });
    retry();
  };

  const retry = (): void => {
    if (closed) return;
    const last = retryDelaysMs.length - 1;
    const delayMs = retryDelaysMs[Math.min(failures, last)] ?? 5_000;
    const jitter = failures >= last ? 0.8 + random() * 0.4 : 1;
    failures += 1;
    retryTimer = setTimeout(open, delayMs * jitter);
  };

  const open = (): void => {
    if (closed) return;
    const client = options.make();
    current = client;
    client.onEnd((cause) => lost(client, cause));
    const attempt = client.connect().then(() => options.prepare?.(client));
    within(attempt, connectTimeoutMs, () => new Error(`No connection within ${connectTimeoutMs} ms`)).then(
      () => {
        if (current !== client) return;
        failures = 0;
        setState('ready', {});
      },
      (cause: unknown) => lost(client, cause),
    );
  };

  const check = (): void => {
    const client = current;
    if (client === null || checking) return;
    checking = true;
    // Answered late is answered: the line is `away` after the short bound, thrown away only after the long one, so that
    // a Redis that was frozen for a moment is found again on the connection it knows.
    const late = setTimeout(() => {
      if (current === client) setState('away', { reason: `No answer within ${checkTimeoutMs} ms` });
    }, checkTimeoutMs);
    within(client.check(), connectTimeoutMs, () => new Error(`No answer within ${connectTimeoutMs} ms`))
      .then(
        () => {
          if (current === client) setState('ready', {});
        },
        (cause: unknown) => lost(client, cause),
      )
      .finally(() => {
        clearTimeout(late);
        checking = false;
      });
  };

  const interval = setInterval(() => {
    if (state === 'ready') check();
  }, checkIntervalMs);
  open();

  return {
    get state() {
      return state;
    },
    get client() {
      return state === 'ready' ? current : null;
    },
    // A client that is still connecting answers nothing yet; asking would end the attempt, again and again.
    suspect() {
      if (state === 'ready') check();
    },
    restart(reason, only) {
      if (current === null || (only !== undefined && only !== current)) return;
      failures = 0;
      const client = current;
      current = null;
      drop(client);
      setState('away', { reason });
      open();
    },
    onState(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close() {
      closed = true;
      clearInterval(interval);
      clearTimeout(retryTimer);
      listeners.clear();
      if (current !== null) drop(current);
      current = null;
    },
  };
}
