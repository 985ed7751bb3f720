import { clearInterval, clearTimeout, setInterval, setTimeout } from 'k6/timers';
import { codes, isCode } from '../../contracts/src/codes.ts';
import { createReader, type ReaderOptions } from './reader.ts';
import { tally } from './tally.ts';
import { type Frame, issueTicket, openSocket, type Socket, wait } from './wire.ts';

const heartbeatMs = 20_000;
const firstDelayMs = 500;
const maxDelayMs = 5_000;

export interface FollowOptions extends ReaderOptions {
  readonly token: string;
  /** At most `limits.maxSubscriptionsPerConnection`: they share one connection. */
  readonly topics: readonly string[];
  /** When it gives up on topics that have not ended, in ms since 1970. */
  readonly untilMs: number;
}

export interface Follower {
  /** Settles when every topic has ended, at the deadline, or at a refusal that is final. Never rejects. */
  readonly done: Promise<void>;
  /** Settles when each topic has sent its first item, or with `done`. */
  readonly live: Promise<void>;
  /** Cuts the connection and opens another at once. */
  readonly reconnect: () => void;
}

/** Whether a client has nothing more to try after this code. */
const isFinal = (reason: string): boolean => isCode(reason) && /^(final|new-token)$/.test(codes[reason].client);

/** One client: a ticket, a connection, its subscriptions; after a loss all of it anew, from the last positions. */
export function follow(options: FollowOptions): Follower {
  const readers = options.topics.map((topic) => createReader(topic, options));
  let finish = (): void => {};
  let beLive = (): void => {};
  const done = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const live = new Promise<void>((resolve) => {
    beLive = resolve;
  });
  let isOver = false;
  let failures = 0;
  let socket: Socket | null = null;
  let isCut = false;

  const leave = (): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(deadline);
    const ended = readers.filter((reader) => reader.ended).length;
    tally.finishedTopics.add(ended);
    tally.unfinishedTopics.add(readers.length - ended);
    socket?.close();
    beLive();
    finish();
  };
  const deadline = setTimeout(leave, Math.max(0, options.untilMs - Date.now()));

  const refused = (reason: string): void => {
    tally.refusals.add(1, { reason: reason || 'none' });
    if (isFinal(reason)) {
      console.error(`A follower was refused for good: ${reason}`);
      leave();
    }
  };

  /** One connection from its ticket to its end; answers how long to wait before the next, in ms. */
  const connect = async (): Promise<number> => {
    const startMs = Date.now();
    // Full jitter: a thousand clients that lost one server do not come back as one.
    const delayMs = Math.random() * Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures, 10));
    failures++;
    const issued = await issueTicket(options.token);
    if (isOver) return 0;
    if (issued.data === null) {
      refused(issued.reason);
      return issued.retryAfterMs ?? delayMs;
    }
    const { path, ticket } = issued.data;
    let nextDelayMs = delayMs;
    const missing = new Set(readers.filter((reader) => !reader.ended));

    const takeFrame = (frame: Frame): void => {
      if (frame.method === 'reconnect') {
        nextDelayMs = 0;
        socket?.close();
        return;
      }
      const reader = readers[(frame.id ?? 0) - 1];
      if (frame.error) {
        nextDelayMs = frame.error.data?.retryAfterMs ?? delayMs;
        refused(frame.error.data?.reason ?? '');
        socket?.close();
        return;
      }
      const envelope = frame.result?.data;
      if (!reader || !envelope) return;
      reader.take(envelope.id, envelope.data);
      if (missing.delete(reader) && missing.size === 0) {
        failures = 0;
        tally.joinMs.add(Date.now() - startMs);
        beLive();
      }
      if (readers.every((each) => each.ended)) leave();
    };

    await new Promise<void>((resolve) => {
      let isQuiet = false;
      const heartbeat = setInterval(() => {
        if (isQuiet) return socket?.close();
        isQuiet = true;
        socket?.ping();
      }, heartbeatMs);
      socket = openSocket(path, ticket, {
        onOpen: () => {
          readers.forEach((reader, at) => {
            if (!reader.ended) socket?.subscribe(at + 1, reader.topic, reader.lastEventId);
          });
        },
        onPong: () => {
          isQuiet = false;
        },
        onFrame: takeFrame,
        onEnd: (why) => {
          clearInterval(heartbeat);
          if (!isOver && !isCut && why !== 'closed by this side') refused('');
          resolve();
        },
      });
    });
    if (!isCut) return nextDelayMs;
    isCut = false;
    return 0;
  };

  const keepConnected = async (): Promise<void> => {
    for (let attempt = 0; !isOver; attempt++) {
      if (attempt > 0) tally.reconnects.add(1);
      const delayMs = await connect();
      if (!isOver && delayMs > 0) await wait(Math.min(delayMs, Math.max(0, options.untilMs - Date.now())));
    }
  };
  keepConnected().catch((error) => {
    console.error(`A follower broke: ${error}`);
    leave();
  });

  return {
    done,
    live,
    reconnect: () => {
      if (isOver || socket === null) return;
      isCut = true;
      socket.close();
    },
  };
}
