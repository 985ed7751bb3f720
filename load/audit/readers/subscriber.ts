import type { IssuedTicket, TopicItem } from '@usher/contracts';
import { type RawFrame, refusalOf } from '../../../test/harness/raw-subscription.ts';
import { call, pause } from '../call.ts';
import type { Random } from '../random.ts';
import type { Fleet } from '../service/fleet.ts';
import type { Relay } from '../service/relay.ts';
import type { Reading } from './reading.ts';

export interface SubscriberOptions {
  readonly name: string;
  readonly fleet: Fleet;
  readonly token: string;
  readonly random: Random;
  /** Its way to the servers; `null`: straight to one of them. */
  readonly network: Relay | null;
  /** Upgrades by a header instead of a ticket. */
  readonly byHeader: boolean;
  /** Events of the past it asks for. */
  readonly history: number;
  readonly signal: AbortSignal;
  /** Silence after which a connection is given up. @default 5000 */
  readonly silentMs?: number;
}

/** A reader that follows topics over a WebSocket of its own. */
export interface Subscriber {
  readonly name: string;
  /** Every reading has had its first word on the connection there is, and none is told that Redis is away. */
  readonly isLive: boolean;
  readonly connects: number;
  follow(reading: Reading): void;
  leave(reading: Reading): void;
  /** Ends the connection as a lost network does, and opens another at once. */
  cut(): void;
}

interface Followed {
  readonly reading: Reading;
  /** The id of the request that serves it on the current connection. */
  requestId: number;
  isLive: boolean;
}

// Bun's own: gone at once, where a close waits for a peer that may be gone.
const terminate = (socket: WebSocket): void => (socket as WebSocket & { terminate(): void }).terminate();

/** Longest wait for a ticket, and for a connection to open. */
const openTimeoutMs = 5_000;

/**
 * Speaks tRPC's wire by hand, with a resume logic that shares nothing with the client's: the position is the id of the
 * last item, every connection has a ticket of its own from any instance, and any close is answered by another try.
 */
export function startSubscriber(options: SubscriberOptions): Subscriber {
  const { fleet, token, random, network, signal, silentMs = 5_000 } = options;
  const followed = new Map<number, Followed>();
  const readings = new Map<Reading, Followed>();
  let socket: WebSocket | null = null;
  let requests = random.int(0, 3);
  let heardAt = 0;
  let connects = 0;
  let failures = 0;
  let moving = false;
  let hurried = false;
  let lost: () => void = () => {};

  const urlOf = async (): Promise<{ url: string; headers: Record<string, string> }> => {
    // Nobody insists on a network that is known to be dead.
    const origin = network === null || network.holding ? fleet.any(random).url : `http://127.0.0.1:${network.port}`;
    const target = `${origin.replace(/^http/, 'ws')}/trpc`;
    if (options.byHeader) return { url: target, headers: { authorization: `Bearer ${token}` } };
    const answer = await call<IssuedTicket>(`${fleet.any(random).url}/ws-ticket`, {
      method: 'POST',
      token,
      timeoutMs: openTimeoutMs,
      signal,
    });
    if (answer.data === undefined) throw new Error(answer.code);
    return { url: `${target}?ticket=${answer.data.ticket}`, headers: {} };
  };

  const open = async (): Promise<WebSocket> => {
    const { url, headers } = await urlOf();
    const opening = new WebSocket(url, { headers } as unknown as string[]);
    return new Promise((resolve, reject) => {
      const fail = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', fail);
        opening.onopen = opening.onclose = null;
        terminate(opening);
        reject(new Error('No connection'));
      };
      const timer = setTimeout(fail, openTimeoutMs);
      signal.addEventListener('abort', fail);
      opening.onerror = () => {};
      opening.onclose = fail;
      opening.onopen = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', fail);
        resolve(opening);
      };
    });
  };

  const ask = (one: Followed): void => {
    if (socket === null || one.reading.ended) return;
    requests += 1;
    followed.delete(one.requestId);
    one.requestId = requests;
    one.isLive = false;
    followed.set(requests, one);
    const { topic, lastEventId } = one.reading;
    one.reading.asked();
    const input = { topic, history: options.history };
    const params = { path: 'topic.subscribe', input, ...(lastEventId !== undefined && { lastEventId }) };
    socket.send(JSON.stringify({ id: requests, method: 'subscription', params }));
  };

  const askAgain = (one: Followed): void => {
    const asked = socket;
    const { requestId } = one;
    one.isLive = false;
    void pause(random.between(50, 400), signal).then(() => {
      if (socket === asked && one.requestId === requestId && readings.get(one.reading) === one) ask(one);
    });
  };

  const take = (frame: RawFrame): void => {
    if (frame.method === 'reconnect') void move();
    const one = typeof frame.id === 'number' ? followed.get(frame.id) : undefined;
    if (one === undefined) return;
    if (refusalOf(frame)) {
      askAgain(one);
      return;
    }
    const { result } = frame;
    if (result?.type === 'stopped') {
      // The server let go without a word that the topic ended.
      if (!one.reading.ended) askAgain(one);
    } else if (result?.type === 'data' && result.id !== undefined) {
      one.isLive = true;
      failures = 0;
      one.reading.take(result.id, (result.data as { readonly data: TopicItem }).data);
    }
  };

  const adopt = (next: WebSocket): void => {
    socket = next;
    connects += 1;
    heardAt = performance.now();
    followed.clear();
    next.onmessage = ({ data }) => {
      if (socket !== next) return;
      heardAt = performance.now();
      if (data === 'PING') next.send('PONG');
      else if (data !== 'PONG') take(JSON.parse(data as string) as RawFrame);
    };
    next.onclose = () => {
      if (socket === next) lost();
    };
    for (const one of readings.values()) ask(one);
  };

  /** The next connection stands before this one is left; what is read on this one ends when that one is asked. */
  const move = async (): Promise<void> => {
    const left = socket;
    if (moving || left === null) return;
    moving = true;
    try {
      const next = await open();
      if (socket !== left) return terminate(next);
      left.onmessage = left.onclose = null;
      left.close();
      adopt(next);
    } catch {
      // The one there is serves on until the server closes it.
    } finally {
      moving = false;
    }
  };

  const drop = (): void => {
    const left = socket;
    socket = null;
    for (const one of readings.values()) one.isLive = false;
    if (left === null) return;
    left.onmessage = left.onclose = null;
    terminate(left);
  };

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        const gone = new Promise<void>((resolve) => {
          lost = resolve;
        });
        adopt(await open());
        signal.addEventListener('abort', lost);
        await gone;
        signal.removeEventListener('abort', lost);
      } catch {
        failures += 1;
      }
      drop();
      const capMs = Math.min(1_500, 100 * 2 ** Math.min(failures, 10));
      await pause(hurried ? random.between(0, 50) : random.between(0, capMs), signal);
      hurried = false;
    }
  };
  void run();

  const watch = setInterval(() => {
    if (socket !== null && performance.now() - heardAt > silentMs) lost();
  }, 500);
  signal.addEventListener('abort', () => clearInterval(watch));

  return {
    name: options.name,
    get isLive() {
      return [...readings.values()].every(({ isLive, reading }) => reading.ended || (isLive && !reading.isDegraded));
    },
    get connects() {
      return connects;
    },
    follow(reading) {
      const one = { reading, requestId: 0, isLive: false };
      readings.set(reading, one);
      ask(one);
    },
    leave(reading) {
      const one = readings.get(reading);
      if (one === undefined) return;
      readings.delete(reading);
      followed.delete(one.requestId);
      if (socket !== null && !reading.ended) {
        socket.send(JSON.stringify({ id: one.requestId, method: 'subscription.stop' }));
      }
    },
    cut() {
      hurried = true;
      lost();
    },
  };
}
