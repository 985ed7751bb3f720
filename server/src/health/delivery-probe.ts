import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { RedisConnection } from '../redis/connection.ts';

export interface DeliveryProbeOptions {
  readonly redis: RedisConnection;
  readonly log: Logger;
  /** How often a probe is sent. @default 5000 */
  readonly intervalMs?: number;
  /** A probe that is not back by then has the subscription line thrown away. @default 2500 */
  readonly timeoutMs?: number;
  readonly now?: () => number;
}

export interface DeliveryProbe {
  /** Time since a probe last came back, in ms; `null` before the first. */
  readonly ageMs: number | null;
  /** A probe came back lately enough. */
  readonly ok: boolean;
  close(): void;
}

/**
 * Sends a word to itself the way events travel, by SPUBLISH and the subscription line. A line that is open, answers pings
 * and delivers nothing is found by nothing else [gateways.md, centrifugo#1189]. Only a probe that Redis accepted is
 * evidence against the line.
 */
export function createDeliveryProbe(options: DeliveryProbeOptions): DeliveryProbe {
  const { redis, log } = options;
  const intervalMs = options.intervalMs ?? 5_000;
  const timeoutMs = options.timeoutMs ?? 2_500;
  const now = options.now ?? (() => performance.now());
  const channel = `${redis.keyPrefix}{probe:${randomUUID()}}:live`;
  let backAt: number | null = null;
  let awaited: string | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  const listener = (message: string): void => {
    backAt = now();
    if (message === awaited) awaited = null;
  };

  const probe = async (): Promise<void> => {
    const word = randomUUID();
    awaited = word;
    try {
      await redis.send(channel, ['SPUBLISH', channel, word], { timeoutMs });
    } catch {
      // Redis did not take it: that says nothing about the subscription line.
      return;
    }
    await new Promise((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    if (closed || awaited !== word || redis.state !== 'ready' || redis.delivery !== 'ready') return;
    log.warn({ timeoutMs }, '[Redis] a probe did not come back through pub/sub; the line is opened anew');
    redis.restartDelivery('A probe did not come back');
  };

  const turn = async (): Promise<void> => {
    if (redis.state === 'ready' && redis.delivery === 'ready') await probe();
    if (!closed) timer = setTimeout(turn, intervalMs);
  };

  redis.subscribe(channel, listener).catch(() => {});
  const probeAtOnce = redis.onDelivery((state) => {
    if (state !== 'ready' || redis.state !== 'ready') return;
    redis.send(channel, ['SPUBLISH', channel, 'again'], { timeoutMs }).catch(() => {});
  });
  void turn();

  return {
    get ageMs() {
      return backAt === null ? null : now() - backAt;
    },
    get ok() {
      return redis.delivery === 'ready' && backAt !== null && now() - backAt <= intervalMs + 2 * timeoutMs;
    },
    close() {
      closed = true;
      clearTimeout(timer);
      probeAtOnce();
      void redis.unsubscribe(channel, listener);
    },
  };
}
