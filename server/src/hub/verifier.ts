import type { Logger } from 'pino';
import type { Channel } from './channel.ts';

/** Whether what is appended arrives: Redis answers, and its subscriptions are there. */
export interface Availability {
  readonly available: boolean;
  onChange(listener: () => void): () => void;
}

export interface VerifierOptions {
  readonly availability: Availability;
  readonly channels: () => Iterable<Channel>;
  readonly logger: Logger;
  /** An idle topic compares its position with the log this often. */
  readonly tailCheckMs: number;
  /** Redis may be away for this long before subscribers are told. */
  readonly degradedAfterMs: number;
  readonly now: () => number;
  readonly random: () => number;
}

/** Keeps every channel proven: after each absence of Redis at once, and when nothing came for long. */
export interface Verifier {
  /** The channel's position could not be proven: it is asked for again. */
  doubt(channel: Channel): void;
  forget(channel: Channel): void;
  /** When a channel that was proven now is to be taken as last checked: checks are spread, not all due in one moment. */
  spread(): number;
  close(): void;
}

/** Channels that are proven at once. */
const verifyAtOnce = 64;

/** How often doubted and idle channels are looked at while Redis answers. */
const tickMs = 1_000;

export function createVerifier(options: VerifierOptions): Verifier {
  const { availability, channels, logger, tailCheckMs, now, random } = options;
  const doubted = new Set<Channel>();
  /** Could not be proven when last tried, though Redis is there: their primary of a cluster is not. */
  const unproven = new Set<Channel>();
  let running = false;
  let degradeTimer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  const spread = (): number => now() - random() * tailCheckMs;

  const verify = async (channel: Channel): Promise<void> => {
    if (!doubted.delete(channel)) return channel.checkTail();
    if (await channel.verify()) {
      unproven.delete(channel);
      channel.checkedAt = spread();
    } else if (unproven.has(channel)) channel.degrade();
    // One that has ended in the meantime was forgotten already.
    else if (!channel.ended) unproven.add(channel);
  };

  /** A bounded number at a time; stops when Redis goes again, and what is left stays doubted. */
  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    const due = now() - tailCheckMs;
    const queue = [...doubted];
    for (const channel of channels()) {
      if (channel.checkedAt < due && channel.position !== '' && !doubted.has(channel)) queue.push(channel);
    }
    queue.reverse();
    const worker = async (): Promise<void> => {
      for (let channel = queue.pop(); channel !== undefined; channel = queue.pop()) {
        if (closed || !availability.available) return;
        await verify(channel);
      }
    };
    try {
      await Promise.all(Array.from({ length: verifyAtOnce }, worker));
    } catch (cause) {
      logger.error({ err: cause }, '[Hub] a topic could not be proven');
    } finally {
      running = false;
    }
  };

  const stopListening = availability.onChange(() => {
    clearTimeout(degradeTimer);
    if (availability.available) {
      for (const channel of channels()) doubted.add(channel);
      void run();
    } else {
      degradeTimer = setTimeout(() => {
        for (const channel of channels()) channel.degrade();
      }, options.degradedAfterMs);
    }
  });

  const ticker = setInterval(() => {
    if (availability.available) void run();
  }, tickMs);

  return {
    doubt: (channel) => void doubted.add(channel),
    forget(channel) {
      doubted.delete(channel);
      unproven.delete(channel);
    },
    spread,
    close() {
      closed = true;
      stopListening();
      clearInterval(ticker);
      clearTimeout(degradeTimer);
      doubted.clear();
      unproven.clear();
    },
  };
}
