import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { createTicker } from '../connections/ticker.ts';
import { RedisAwayError, type RedisConnection } from '../redis/connection.ts';

export interface DeliveryProbeOptions {
  readonly redis: RedisConnection;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  /** Rest between two probes. @default 2000 */
  readonly intervalMs?: number;
  /** A probe that is not back by then has the subscription line thrown away. @default 2500 */
  readonly timeoutMs?: number;
  /** A line that fails again and again is thrown away no oftener than this. @default 30000 */
  readonly maxRestartEveryMs?: number;
  /**
   * Channels probed. A Cluster has a subscription connection for each primary, and a channel goes over one of
   * them: enough channels meet all. @default 1
   */
  readonly channels?: number;
  /** @default performance.now */
  readonly now?: () => number;
}

export interface DeliveryProbe {
  /** Time since a probe last came back, in ms; `null` before the first. */
  readonly ageMs: number | null;
  /** Every channel's latest probe came back on the line there is now, and the last one lately enough. */
  readonly ok: boolean;
  /** Why not, where that is known. */
  readonly reason: string | null;
  close(): void;
}

/** A wait is cut into so many turns of the event loop: one that stood still must not condemn a line it had no time to read. */
const turnsPerWait = 5;

/**
 * Sends a word to itself the way events travel, by SPUBLISH and the subscription line. A line that is open, answers pings
 * and delivers nothing is found by nothing else [gateways.md, centrifugo#1189]. Only a probe that Redis accepted is
 * evidence against the line.
 */
export function createDeliveryProbe(options: DeliveryProbeOptions): DeliveryProbe {
  const { redis, log, intervalMs = 2_000, timeoutMs = 2_500, maxRestartEveryMs = 30_000 } = options;
  const now = options.now ?? (() => performance.now());
  const id = randomUUID();
  const channels = Array.from(
    { length: options.channels ?? 1 },
    (_, at) => `${redis.keyPrefix}{probe:${id}:${at}}:live`,
  );
  /** Channels that have not shown on this line that they deliver. */
  const unproven = new Set(channels);
  /** The word that is out, by channel, and who waits for it. */
  const awaited = new Map<string, { readonly word: string; readonly back: () => void }>();
  const listeners = new Map<string, (message: string) => void>();
  let backAt: number | null = null;
  let reason: string | null = null;
  let failures = 0;
  let restartedAt = Number.NEGATIVE_INFINITY;
  /** Counts the lines there have been: what was asked on one is not judged on the next. */
  let line = 0;

  const hear = (channel: string, message: string): void => {
    const wait = awaited.get(channel);
    // An older word proves nothing: it may have been on its way before the line went wrong.
    if (wait?.word !== message) return;
    backAt = now();
    unproven.delete(channel);
    wait.back();
  };

  /** `true`: back in time; `false`: not; `null`: Redis did not take it, or the line went, which says nothing. */
  const probe = async (channel: string): Promise<boolean | null> => {
    const word = randomUUID();
    const sentOn = line;
    let isBack = false;
    const back = new Promise<void>((resolve) => {
      awaited.set(channel, {
        word,
        back: () => {
          isBack = true;
          resolve();
        },
      });
    });
    try {
      await redis.send(channel, ['SPUBLISH', channel, word], { timeoutMs });
    } catch (cause) {
      awaited.delete(channel);
      if (!(cause instanceof RedisAwayError)) refused(cause);
      return null;
    }
    for (let waited = 0; waited < turnsPerWait && !isBack && sentOn === line; waited += 1) {
      await Promise.race([back, new Promise((resolve) => setTimeout(resolve, timeoutMs / turnsPerWait))]);
    }
    awaited.delete(channel);
    return sentOn === line ? isBack : null;
  };

  /** Redis answered, and it said no: an ACL that lacks the channel, most likely. */
  const refused = (cause: unknown): void => {
    const said = cause instanceof Error ? cause.message.slice(0, 200) : String(cause);
    if (reason !== said) log.warn({ reason: said }, '[Redis] the delivery probe is refused');
    reason = said;
  };

  const isUp = (): boolean => redis.state === 'ready' && redis.delivery === 'ready';

  const judge = (channel: string, isBack: boolean): void => {
    if (isBack) {
      if (reason !== null && unproven.size === 0) log.info('[Redis] a probe came back through pub/sub again');
      reason = null;
      failures = 0;
      return;
    }
    if (!isUp()) return;
    unproven.add(channel);
    reason = 'A probe did not come back through pub/sub';
    const restMs = Math.min(maxRestartEveryMs, intervalMs * 2 ** Math.min(failures, 10));
    if (now() - restartedAt < restMs) return;
    failures += 1;
    restartedAt = now();
    log.warn({ timeoutMs }, '[Redis] a probe did not come back through pub/sub; the line is opened anew');
    redis.restartDelivery('A probe did not come back');
  };

  const run = async (): Promise<void> => {
    if (!isUp()) return;
    const backs = await Promise.all(channels.map(probe));
    for (const [at, channel] of channels.entries()) {
      const isBack = backs[at];
      if (typeof isBack === 'boolean') judge(channel, isBack);
    }
  };
  const ticker = createTicker({
    everyMs: intervalMs,
    run,
    onError: (err) => log.warn({ err }, '[Redis] a probe failed'),
  });

  for (const channel of channels) {
    const listener = (message: string): void => hear(channel, message);
    listeners.set(channel, listener);
    // Written down even when it rejects: the next line has it.
    redis.subscribe(channel, listener).catch(() => {});
  }
  const stops = [
    redis.onDelivery((state) => {
      // What another line delivered says nothing about this one.
      line += 1;
      for (const channel of channels) unproven.add(channel);
      if (state === 'ready') ticker.kick();
    }),
    redis.onState((state) => {
      if (state === 'ready') ticker.kick();
    }),
  ];
  ticker.kick();

  return {
    get ageMs() {
      return backAt === null ? null : now() - backAt;
    },
    get ok() {
      if (redis.delivery !== 'ready' || backAt === null || unproven.size > 0) return false;
      return now() - backAt <= intervalMs + 2 * timeoutMs;
    },
    get reason() {
      return reason;
    },
    close() {
      line += 1;
      void ticker.close();
      for (const stop of stops) stop();
      for (const [channel, listener] of listeners) void redis.unsubscribe(channel, listener);
    },
  };
}
