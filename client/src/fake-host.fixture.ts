import type { Connection } from './connection.ts';
import { createConnection } from './connection.ts';
import type { ConnectionOptions } from './connection-options.ts';
import type { Environment } from './environment.ts';
import { createFakeClock, settle } from './fake-clock.fixture.ts';
import type { Logger } from './logger.ts';

/** A platform's WebSocket whose other end is the test. */
export class FakeSocket {
  static made: FakeSocket[] = [];
  readonly url: string;
  readonly sent: string[] = [];
  bufferedAmount = 0;
  closed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;

  constructor(url: string) {
    this.url = url;
    FakeSocket.made.push(this);
  }

  send(data: string) {
    this.sent.push(data);
  }

  close() {
    this.closed = true;
  }

  open() {
    this.onopen?.();
  }

  message(data: unknown) {
    this.onmessage?.({ data });
  }

  /** Open, and the server answers the first PING. */
  live() {
    this.open();
    this.message('PONG');
  }

  drop(code = 1006, reason = '') {
    this.onclose?.({ code, reason });
  }
}

export const fakeWebSocket = FakeSocket as unknown as typeof WebSocket;

export class FakeEnvironment implements Environment {
  online = true;
  visible = true;
  #changed = () => {};

  watch(changed: () => void, signal: AbortSignal) {
    this.#changed = changed;
    signal.addEventListener('abort', () => {
      this.#changed = () => {};
    });
  }

  become(change: Partial<Pick<Environment, 'online' | 'visible'>>) {
    Object.assign(this, change);
    this.#changed();
  }
}

export type Answer = () => Response | Promise<Response>;

let tickets = 0;
export const ticketAnswer: Answer = () => Response.json({ ticket: `ticket-${++tickets}`, path: '/trpc' });
export const refusal =
  (status: number, code: string, fields = {}): Answer =>
  () =>
    Response.json({ code, message: code, ...fields }, { status });

/** A connection in fake time, with a fake platform; `attempt()` plays the part of tRPC's client. */
export function createFakeHost(options: Partial<ConnectionOptions> = {}) {
  FakeSocket.made = [];
  const clock = createFakeClock();
  const startedAt = clock.now();
  const environment = new FakeEnvironment();
  const told: string[] = [];
  const logged: [level: string, message: string, fields?: object][] = [];
  const requestsAtMs: number[] = [];
  let answer = ticketAnswer;
  const log = (level: string) => (message: string, fields?: object) => {
    logged.push(fields ? [level, message, fields] : [level, message]);
  };
  const logger: Logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
  const connection: Connection = createConnection({
    url: 'http://usher',
    clock,
    environment,
    logger,
    random: () => 0.5,
    WebSocket: fakeWebSocket,
    fetch: (async () => {
      requestsAtMs.push(clock.now() - startedAt);
      return answer();
    }) as unknown as typeof fetch,
    on: {
      onConnect: () => told.push('connect'),
      onDisconnect: (reason) => told.push(`disconnect ${reason}`),
      onReconnect: (attempt) => told.push(`reconnect ${attempt}`),
      onFallback: (reason) => told.push(`fallback ${reason}`),
      onRestore: () => told.push('restore'),
      onClose: (reason) => told.push(`close ${reason}`),
    },
    ...options,
  });

  let previous = 'idle';
  connection.watch(({ status }) => {
    if (status !== previous) told.push(`→ ${status}`);
    previous = status;
  });

  /** tRPC's client: asks for an address, opens a socket, and starts over when that is lost, at once. */
  const run = async () => {
    while (connection.state.status !== 'closed') {
      const url = await connection.nextUrl().catch(() => null);
      if (url === null) {
        await settle(1);
        continue;
      }
      const socket = new connection.WebSocket(url);
      await new Promise((resolve) => socket.addEventListener('close', resolve));
    }
  };

  return {
    clock,
    environment,
    connection,
    told,
    logged,
    /** When tickets were asked for, in ms from the start. */
    requestsAtMs,
    respond(next: Answer) {
      answer = next;
    },
    start: () => void run(),
    /** The platform's latest socket. */
    get socket(): FakeSocket {
      const socket = FakeSocket.made.at(-1);
      if (!socket) throw new Error('No socket was made');
      return socket;
    },
    get sockets() {
      return FakeSocket.made;
    },
    elapsedMs: () => clock.now() - startedAt,
  };
}
