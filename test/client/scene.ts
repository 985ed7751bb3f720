import { createUsher, type Usher, type UsherOptions } from '@usher/client';
import { createPublisher } from '@usher/client/publisher';
import type { TopicEvent } from '@usher/contracts';
import { query } from '../harness/http.ts';
import type { TcpProxy } from '../harness/proxy.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';

/** Times that suit a test: what takes a user half a minute takes a second here. */
export const fast = {
  retry: { initialMs: 50, maxMs: 400 },
  breaker: { openMs: 300 },
  fallback: { afterMs: 400 },
  ticket: { timeoutMs: 2_000 },
  polling: { waitMs: 2_000, minIntervalMs: 50 },
  heartbeat: { openTimeoutMs: 2_000 },
  healthyAfterMs: 2_000,
} as const satisfies Partial<UsherOptions>;

/** A client in fast time, and what it was told of its connection. */
export interface Caller extends AsyncDisposable {
  readonly usher: Usher;
  readonly told: string[];
  readonly logged: [level: string, message: string][];
  until(status: string): Promise<unknown>;
}

export function startCaller(options: UsherOptions): Caller {
  const told: string[] = [];
  const logged: [string, string][] = [];
  const log = (level: string) => (message: string) => {
    logged.push([level, message]);
  };
  const usher = createUsher({
    ...fast,
    logger: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    onConnect: () => told.push('connect'),
    onDisconnect: (reason) => told.push(`disconnect ${reason}`),
    onReconnect: () => told.push('reconnect'),
    onFallback: (reason) => told.push(`fallback ${reason}`),
    onRestore: () => told.push('restore'),
    onClose: (reason) => told.push(`close ${reason}`),
    ...options,
  });
  return {
    usher,
    told,
    logged,
    until: (status) =>
      eventually(() => usher.state.status === status, {
        what: () => `state ${status}: it is ${JSON.stringify(usher.state)} after ${told.join(', ')}`,
        timeoutMs: 25_000,
      }),
    [Symbol.asyncDispose]: async () => usher.close(),
  };
}

/** A reader's token for every topic. */
export const readerToken = () => mintToken({ userId: 'reader', topics: ['*'] });

/** The platform's WebSocket, with its connections through a proxy: so that it can break while HTTP works. */
export function socketThrough(proxy: TcpProxy): typeof WebSocket {
  return class extends WebSocket {
    constructor(given: string | URL) {
      const url = new URL(given);
      url.port = String(proxy.port);
      super(url);
    }
  };
}

/** What one subscriber saw and was told. */
export interface Witness {
  readonly seen: TopicEvent[];
  readonly resets: string[];
  readonly errors: string[];
  readonly items: string[];
}

export function witness(usher: Usher, id: string): Witness {
  const seen: TopicEvent[] = [];
  const resets: string[] = [];
  const errors: string[] = [];
  const items: string[] = [];
  usher.topic('public', id).subscribe({
    onItem: ({ type }) => items.push(type),
    onEvent: ({ event }) => seen.push(event),
    onReset({ reason, events }) {
      resets.push(reason);
      seen.push(...events);
    },
    onError: ({ code }) => errors.push(code),
  });
  return { seen, resets, errors, items };
}

/** Publishes numbers to a topic, one every few ms, until it is stopped; then gives how many were taken. */
export function startTraffic(url: string, id: string, everyMs = 10) {
  let published = 0;
  const failures: string[] = [];
  const publisher = createPublisher({
    url,
    token: () => publisherToken(),
    retry: { initialMs: 20, maxMs: 200 },
    timeoutMs: 3_000,
    onError: ({ code }) => failures.push(code),
  });
  const timer = setInterval(() => {
    published += 1;
    void publisher.publish({ topic: `public:${id}`, name: 'n', data: { n: published } });
  }, everyMs);
  return {
    failures,
    /** Stops, and waits until everything is in the log. */
    async stop() {
      clearInterval(timer);
      await publisher.close();
      return published;
    },
  };
}

/** The whole log of a topic, as the server has it. */
export async function logOf(target: { readonly url: string }, id: string): Promise<TopicEvent[]> {
  const token = await publisherToken();
  const events: TopicEvent[] = [];
  for (;;) {
    const after = events.at(-1)?.position;
    const input = { topic: `public:${id}`, limit: 1_000, ...(after && { after }) };
    const page = await query<{ events: TopicEvent[]; complete: boolean }>(target, 'topic.history', input, { token });
    if (!page.data) throw new Error(page.text);
    events.push(...page.data.events);
    if (page.data.complete) return events;
  }
}

/** How what was seen differs from the log, from the first seen on: all zero, or a promise was broken. */
export function compare(log: readonly TopicEvent[], seen: readonly TopicEvent[]) {
  const positions = seen.map(({ position }) => position);
  const first = log.findIndex(({ position }) => position === positions[0]);
  const wanted = log.slice(first === -1 ? 0 : first).map(({ position }) => position);
  const order = new Map(wanted.map((position, at) => [position, at]));
  const at = positions.map((position) => order.get(position) ?? -1);
  return {
    gaps: wanted.filter((position) => !positions.includes(position)).length,
    doubles: positions.length - new Set(positions).size,
    reorders: at.filter((n, i) => i > 0 && n < (at[i - 1] ?? 0)).length,
  };
}

export const clean = { gaps: 0, doubles: 0, reorders: 0 };

/** Waits until subscribers have their snapshot: what is published from then on is theirs to see. */
export const begun = (...subscribers: Witness[]) =>
  eventually(() => subscribers.every(({ items }) => items.length > 0), { what: 'the first item' });
