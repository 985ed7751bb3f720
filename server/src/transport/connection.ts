import { type Code, codes, type Principal, UsherError, type Work } from '@usher/contracts';
import type { RuntimeSocket, SocketHandlers } from '../runtime/runtime.ts';
import type { SubscriberSocket } from '../topics/subscribe.ts';
import { errorShape } from './error-shape.ts';
import { Gate } from './gate.ts';
import { tooMuch } from './work.ts';

export interface ConnectionLimits {
  readonly maxFrameBytes: number;
  readonly maxSubscriptions: number;
  /** Queries and mutations under way at once. */
  readonly maxCallsInFlight: number;
  /** Above this many unwritten bytes a replay waits. */
  readonly paceBytes: number;
  /** Frames and bytes taken before the connection's context is there. */
  readonly maxParkedFrames: number;
  readonly maxParkedBytes: number;
  /** A refused socket is closed this long after it was told, more or less: at once would be a reconnect storm. */
  readonly refusedCloseMs: number;
}

/** What the connection needs of the place that holds it. */
export interface ConnectionHost {
  readonly limits: ConnectionLimits;
  readonly now: () => number;
  readonly random: () => number;
  /** Gives the socket to tRPC's own handler. */
  serve(connection: Connection): void;
  opened(connection: Connection): void;
  closed(connection: Connection, code: number): void;
  /** Told of a connection that is closed for a reason of ours. */
  refused(code: Code): void;
}

/** The request behind a connection, kept because Deno has it no longer after the upgrade. */
export interface UpgradeRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly traceId: string;
  readonly address: string | null;
  /** The client announced `connectionParams`, and must send them in time. */
  readonly awaitsParams: boolean;
}

type Listener = (...args: unknown[]) => void;

const open = 1;
const closing = 2;
const over = 3;

/**
 * One WebSocket: towards the runtime its handlers, towards tRPC's `getWSConnectionHandler` the few members of `ws` it
 * uses, towards topics a subscriber. One object, since there are many of them.
 */
export class Connection implements SocketHandlers, SubscriberSocket {
  readonly connectionId: string;
  readonly request: UpgradeRequest;
  readonly since: number;
  readyState = open;
  /** Known when the ticket, the token or the parameters have been accepted. */
  principal: Principal | null = null;
  /** When anything last came from the client. */
  heardAt: number;
  /** When a `PING` went out that nothing has answered. */
  askedAt = 0;
  /** Since when there are unwritten bytes and none of them goes. */
  stuckSince = 0;
  movedAt = 0;
  /** When it was told to go, by the host's clock; 0 while it may stay. */
  endedAt = 0;

  readonly #host: ConnectionHost;
  #socket: RuntimeSocket | null = null;
  #message: Listener | null = null;
  #close: Listener[] = [];
  #refused: Code | null = null;
  #ended: Code | null = null;
  #held: (() => void)[] = [];
  #subscriptions = 0;
  #calls = 0;
  #reads: Gate | null = null;
  #gone: AbortController | null = null;
  #parkedFrames = 0;
  #parkedBytes = 0;
  #drained: { readonly promise: Promise<void>; readonly resolve: () => void } | null = null;

  constructor(connectionId: string, request: UpgradeRequest, host: ConnectionHost) {
    this.connectionId = connectionId;
    this.request = request;
    this.#host = host;
    this.since = host.now();
    this.heardAt = this.since;
  }

  get bufferedBytes(): number {
    return this.#socket?.bufferedBytes ?? 0;
  }

  get isOpen(): boolean {
    return this.readyState === open;
  }

  // Towards the runtime.

  open(socket: RuntimeSocket): void {
    // Given up, since the upgrade took too long.
    if (this.readyState === over) return socket.terminate();
    this.#socket = socket;
    this.#host.opened(this);
    // Revoked or evicted while the upgrade was under way.
    if (this.#ended !== null) this.#sendClose(this.#ended);
    else this.#host.serve(this);
  }

  message(data: string | Uint8Array): void {
    if (this.readyState !== open || this.#message === null) return;
    this.heardAt = this.#host.now();
    this.askedAt = 0;
    if (data === 'PONG') return;
    const bytes = typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
    if (bytes > this.#host.limits.maxFrameBytes) {
      const message = `A frame has ${bytes} bytes; at most ${this.#host.limits.maxFrameBytes} are taken`;
      this.refuse(new UsherError('PAYLOAD_TOO_LARGE', { message }), 0);
      return;
    }
    if (this.principal === null && data !== 'PING') {
      this.#parkedFrames += 1;
      this.#parkedBytes += bytes;
      const { maxParkedFrames, maxParkedBytes } = this.#host.limits;
      if (this.#parkedFrames > maxParkedFrames || this.#parkedBytes > maxParkedBytes) {
        this.refuse(
          new UsherError('RATE_LIMITED', { message: 'Too much was sent before the connection was accepted' }),
        );
        return;
      }
    }
    if (typeof data === 'string') this.#message(Buffer.from(data), false);
    // tRPC's handler knows no binary frame, and its complaint would tell of its own inside.
    else this.complain(new UsherError('BAD_REQUEST', { message: 'Wanted a text frame' }));
  }

  drain(): void {
    this.stuckSince = 0;
    if (this.#drained === null || this.bufferedBytes > this.#host.limits.paceBytes) return;
    this.#drained.resolve();
    this.#drained = null;
  }

  close(code?: number): void {
    // tRPC asks to close, without a code, a connection whose context was refused; the runtime tells that one is closed.
    if (code === undefined) {
      this.#closeLater();
      return;
    }
    if (this.readyState === over) return;
    this.readyState = over;
    const listeners = this.#close;
    this.#close = [];
    for (const listener of listeners) listener();
    this.#message = null;
    this.#drained?.resolve();
    this.#drained = null;
    // tRPC aborts subscriptions only: a long poll would go on for nobody.
    this.#gone?.abort();
    this.release();
    this.#host.closed(this, code);
    this.#socket = null;
  }

  // Towards tRPC.

  on(event: string, listener: Listener): void {
    if (event === 'message') this.#message = listener;
    else if (event === 'close') this.#close.push(listener);
  }

  once(event: string, listener: Listener): void {
    this.on(event, listener);
  }

  send(frame: string): void {
    if (this.readyState === open) this.#socket?.send(this.principal === null ? this.#traced(frame) : frame);
  }

  terminate(): void {
    this.#leave();
    this.#socket?.terminate();
  }

  /** Lets go of a socket whose other end does not answer the close: Deno waits for it without end. */
  abandon(): void {
    this.#socket?.terminate();
    this.close(1006);
  }

  /** Counts one call. @throws UsherError RATE_LIMITED */
  begin(): Work {
    if (this.#calls >= this.#host.limits.maxCallsInFlight) throw tooMuch(this.#host.limits.maxCallsInFlight);
    this.#calls += 1;
    this.#gone ??= new AbortController();
    if (this.readyState === over) this.#gone.abort();
    let hasTurn = false;
    const rest = (): void => {
      if (hasTurn) this.#reads?.leave();
      hasTurn = false;
    };
    return {
      signal: this.#gone.signal,
      turn: async () => {
        // One at a time, and none before most of the last one has gone: a healthy reader must not be cut for its answers.
        this.#reads ??= new Gate(1);
        await this.#reads.enter();
        hasTurn = true;
        // Nobody is left to read the rest of a batch.
        if (this.readyState === over) throw new UsherError('DRAINING');
        if (this.#isBehind) await this.#drain();
      },
      rest,
      end: () => {
        this.#calls -= 1;
        // tRPC sends the answer after this.
        if (hasTurn) setImmediate(rest);
      },
    };
  }

  // Towards topics.

  enter(): void {
    if (this.#subscriptions >= this.#host.limits.maxSubscriptions) {
      throw new UsherError('CONNECTION_LIMIT', {
        message: `A connection holds at most ${this.#host.limits.maxSubscriptions} subscriptions`,
        retryAfterMs: 1_000,
      });
    }
    this.#subscriptions += 1;
  }

  exit(): void {
    this.#subscriptions -= 1;
  }

  join(group: string): void {
    if (this.readyState === open) this.#socket?.join(group);
  }

  leave(group: string): void {
    if (this.readyState === open) this.#socket?.leave(group);
  }

  sendFrame(frame: string): void | Promise<void> {
    this.send(frame);
    return this.#isBehind ? this.#drain() : undefined;
  }

  get #isBehind(): boolean {
    return this.readyState === open && this.bufferedBytes > this.#host.limits.paceBytes;
  }

  #drain(): Promise<void> {
    this.#drained ??= Promise.withResolvers<void>();
    return this.#drained.promise;
  }

  // Towards the service.

  /** Keeps what must be given back when the connection ends, or is refused. */
  hold(release: () => void): void {
    if (this.readyState === over) release();
    else this.#held.push(release);
  }

  release(): void {
    for (const giveBack of this.#held.splice(0)) giveBack();
  }

  /** Says no in a frame that belongs to no request, and closes with the table's code a moment later. */
  refuse(error: UsherError, delayMs = this.#host.limits.refusedCloseMs): void {
    if (this.#refused !== null || this.readyState !== open) return;
    this.complain(error);
    this.#refused = error.reason;
    this.#host.refused(error.reason);
    this.#closeLater(delayMs);
  }

  /** tRPC is about to say no by itself: remember with which code to close, and give back what is held. */
  markRefused(code: Code): void {
    this.#refused ??= code;
    this.release();
  }

  complain(error: UsherError): void {
    this.send(JSON.stringify({ id: null, error: errorShape(error, this.request.traceId) }));
  }

  /** Closes at once, with the table's code. */
  end(code: Code): void {
    if (this.readyState === over || this.#ended !== null) return;
    this.#ended = code;
    this.#leave();
    this.#sendClose(code);
  }

  #sendClose(code: Code): void {
    this.#socket?.close(codes[code].close ?? 1008, code);
  }

  #leave(): void {
    if (this.readyState !== open) return;
    this.readyState = closing;
    this.endedAt = this.#host.now();
  }

  /** Before there is a context, tRPC's error formatter knows no trace id: it is put into the error here. */
  #traced(frame: string): string {
    if (!frame.includes('"error"') || frame.includes('"traceId"')) return frame;
    const message = JSON.parse(frame) as { error?: { data?: { traceId?: string } } };
    if (message.error?.data) message.error.data.traceId = this.request.traceId;
    return JSON.stringify(message);
  }

  #closeLater(delayMs = this.#host.limits.refusedCloseMs): void {
    // tRPC refuses by itself only parameters that cannot be read; every other refusal was marked before.
    const code = this.#refused ?? 'BAD_REQUEST';
    const jitter = 0.75 + this.#host.random() * 0.5;
    const timer = setTimeout(() => this.end(code), delayMs * jitter);
    this.#close.push(() => clearTimeout(timer));
  }
}
