/** A Lua script with the digest Redis knows it by. Made by `loadScript` from a `.lua` file beside its caller. */
export interface RedisScript {
  readonly lua: string;
  readonly sha: string;
}

/** Thrown when Redis was not there, or did not answer in time. */
export class RedisAwayError extends Error {
  override readonly name = 'RedisAwayError';
  /** The command had left when the answer failed to come: it may have been carried out. */
  readonly ambiguous: boolean;

  constructor(message: string, options: { readonly ambiguous: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause });
    this.ambiguous = options.ambiguous;
  }
}

export type RedisListener = (message: string) => void;

/** Whether Redis answers: `ready` commands go out, `away` they are refused at once. */
export type RedisState = 'ready' | 'away';

/**
 * One Redis, or one Redis Cluster, as the rest of the server sees it: a line for commands and one for subscriptions,
 * both of which come back by themselves.
 *
 * MUST refuse at once, with `RedisAwayError`, while it is away; MUST NOT queue.
 * MUST settle each command within its timeout.
 */
export interface RedisConnection {
  /** The command line. */
  readonly state: RedisState;
  /** The subscription line. */
  readonly delivery: RedisState;
  /** Put in front of every key and channel by the caller. */
  readonly keyPrefix: string;
  /** Runs a script; `keys` share one slot. Bulk replies are strings, integers numbers. */
  run(
    script: RedisScript,
    keys: readonly string[],
    args: readonly string[],
    options?: RedisCallOptions,
  ): Promise<unknown>;
  /** Sends one command; `key` says which node of a cluster, and is not added to `args`. */
  send(key: string, args: readonly string[], options?: RedisCallOptions): Promise<unknown>;
  /**
   * Sharded subscription; outlives reconnects. Resolves when Redis has confirmed it. When it rejects it is written down
   * all the same: the next line has it before `delivery` is `ready`.
   *
   * @throws RedisAwayError
   */
  subscribe(channel: string, listener: RedisListener): Promise<void>;
  /** MUST NOT reject: a subscription that cannot be ended now is not renewed. */
  unsubscribe(channel: string, listener: RedisListener): Promise<void>;
  /** Ends a channel's subscription and begins it anew; who listens stays. @throws RedisAwayError */
  resubscribe(channel: string): Promise<void>;
  /**
   * Called after each change of `state`; gives the way to stop. `ready` comes once more when a primary of a cluster was
   * replaced: it may lack what the one before had taken.
   */
  onState(listener: (state: RedisState) => void): () => void;
  /**
   * Called after each change of `delivery`; `ready` comes when every channel is subscribed again, and once more when
   * a primary of a cluster was replaced while the others went on.
   */
  onDelivery(listener: (state: RedisState) => void): () => void;
  /** Called when a primary of a cluster went while the others go on: what is in its slots cannot be reached. */
  onPartLost(listener: () => void): () => void;
  /** Throws the subscription line away and opens another: for one that is up but says nothing. */
  restartDelivery(reason: string): void;
  close(): Promise<void>;
}

export interface RedisCallOptions {
  /** How long to wait for the answer, in ms. @default 5000 */
  readonly timeoutMs?: number;
}
