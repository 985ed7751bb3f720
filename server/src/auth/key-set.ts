import { createRemoteJWKSet, customFetch, errors, type FlattenedJWSInput, type JWSHeaderParameters } from 'jose';
import type { Log } from '../log.ts';
import { boundedFetch } from './bounded-fetch.ts';

type Key = Awaited<ReturnType<ReturnType<typeof createRemoteJWKSet>>>;

export interface KeySetOptions {
  readonly url: URL;
  readonly log: Log;
  /** How long one fetch may take, body included, in ms. @default 5000 */
  readonly timeoutMs?: number;
  /** Largest answer that is read, in bytes. @default 1048576 */
  readonly maxBytes?: number;
  /** Age at which the set is fetched again, in ms. @default 600000 */
  readonly maxAgeMs?: number;
  /** Age up to which the set serves on while it cannot be fetched, in ms. @default 86400000 */
  readonly maxStaleMs?: number;
  /** Time after a fetch in which an unknown key is not asked for again, in ms. @default 1000 */
  readonly cooldownMs?: number;
  /** Time after a failed fetch in which none is tried, in ms. @default 5000 */
  readonly retryMs?: number;
  readonly now?: () => number;
}

/** Thrown when it cannot be told whether a key is one of the issuer's. */
export class KeySetAwayError extends Error {
  override readonly name = 'KeySetAwayError';
  readonly retryAfterMs: number;

  constructor(retryAfterMs: number) {
    super('The key set cannot be fetched');
    this.retryAfterMs = retryAfterMs;
  }
}

/** Gives the keys that may have signed a token; none: the issuer has no such key. @throws KeySetAwayError */
export type KeySet = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<readonly Key[]>;

/** Keys tried for a token that names none. */
const maxCandidates = 8;

/**
 * An issuer's keys. `jose` fetches, keeps and imports them; when to fetch is decided here, because jose alone stops
 * using the keys it has when they are old and the issuer is away, and asks an issuer that is away for every token.
 */
export function createKeySet(options: KeySetOptions): KeySet {
  const { url, log, timeoutMs = 5_000, maxBytes = 1_048_576, now = Date.now } = options;
  const { maxAgeMs = 600_000, maxStaleMs = 86_400_000, cooldownMs = 1_000, retryMs = 5_000 } = options;
  const remote = createRemoteJWKSet(url, {
    timeoutDuration: timeoutMs,
    cacheMaxAge: Number.POSITIVE_INFINITY,
    cooldownDuration: Number.POSITIVE_INFINITY,
    [customFetch]: boundedFetch(maxBytes),
  });
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let failedAt: number | null = null;
  let fetching: Promise<boolean> | null = null;
  let faultTold = false;

  /** Never rejects, and settles within `timeoutMs`; all who ask meanwhile share the one fetch. */
  function refresh(): Promise<boolean> {
    if (failedAt !== null && now() < failedAt + retryMs) return Promise.resolve(false);
    fetching ??= remote
      .reload()
      .then(succeeded, failed)
      .finally(() => {
        fetching = null;
      });
    return fetching;
  }

  function succeeded(): boolean {
    if (failedAt !== null) log.info({ url: url.href }, 'the key set is back');
    fetchedAt = now();
    failedAt = null;
    faultTold = false;
    return true;
  }

  function failed(error: unknown): boolean {
    // Once an outage, not once a token.
    if (failedAt === null) log.warn({ url: url.href, reason: reasonOf(error) }, 'the key set cannot be fetched');
    failedAt = now();
    return false;
  }

  const away = (): KeySetAwayError => new KeySetAwayError(Math.max(1, (failedAt ?? now()) + retryMs - now()));

  async function find(header: JWSHeaderParameters, token: FlattenedJWSInput): Promise<readonly Key[]> {
    try {
      return [await remote(header, token)];
    } catch (error) {
      if (error instanceof errors.JWKSMultipleMatchingKeys) return firstKeys(error);
      if (error instanceof errors.JWKSNoMatchingKey) return [];
      // The issuer names the key, but what it gives is none: whether the token is good cannot be told.
      if (!faultTold)
        log.error({ url: url.href, reason: reasonOf(error) }, 'the key set holds a key that cannot be used');
      faultTold = true;
      throw away();
    }
  }

  return async (header, token) => {
    if (now() >= fetchedAt + maxAgeMs) {
      // In an outage nobody waits for the next try: the keys at hand answer, until they are too old.
      const refreshed = refresh();
      if (failedAt === null || now() >= fetchedAt + maxStaleMs) await refreshed;
    }
    if (now() >= fetchedAt + maxStaleMs) throw away();
    const keys = await find(header, token);
    const justFetched = failedAt === null && now() < fetchedAt + cooldownMs;
    if (keys.length > 0 || justFetched) return keys;
    if (!(await refresh())) throw away();
    return find(header, token);
  };
}

async function firstKeys(found: InstanceType<typeof errors.JWKSMultipleMatchingKeys>): Promise<readonly Key[]> {
  const keys: Key[] = [];
  for await (const key of found) {
    keys.push(key);
    if (keys.length === maxCandidates) break;
  }
  return keys;
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error);
