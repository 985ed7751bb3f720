import type { Clock } from './clock.ts';
import { errorOfBody, errorOfClose, UsherError } from './errors.ts';

export interface HeartbeatOptions {
  /** After this long without a frame from the server, PING, in ms. @default 30000 */
  readonly intervalMs?: number;
  /** After this long without any frame since the PING, the connection is given up, in ms. @default 60000 */
  readonly pongTimeoutMs?: number;
  /** After this long in which nothing left the send buffer, the connection is given up, in ms. @default 10000 */
  readonly writeTimeoutMs?: number;
  /** Longest wait for the handshake and for the server's first frame, in ms each. @default 10000 */
  readonly openTimeoutMs?: number;
}

/** Hears of each socket, once of each turn of its life. */
export interface SocketObserver {
  /** The server has answered on it: more than an accepted handshake, which a proxy gives as well. */
  proven(socket: WatchedSocket): void;
  lost(socket: WatchedSocket, error: UsherError): void;
}

export interface WatchedSocket {
  /** Asks for a sign of life within `timeoutMs`, else it counts as lost. */
  verify(timeoutMs: number): void;
  /** Makes tRPC open a successor, as if the server had asked for it. */
  move(): void;
}

const moveFrame = '{"id":null,"method":"reconnect"}';
// A timer that fires this much late means that the machine slept, not that the server is silent.
const sleptMs = 5_000;

export interface SocketParts {
  /** @default globalThis.WebSocket */
  readonly base: typeof WebSocket | undefined;
  readonly observer: SocketObserver;
  readonly clock: Clock;
}

/**
 * A `WebSocket` class for tRPC's client that watches the real one: it times the handshake, finds half-open
 * connections, and reports a close at once, where a real socket waits for a peer that is gone.
 * @throws TypeError where the platform has none, and none is given
 */
export function createSocketClass(parts: SocketParts, options: HeartbeatOptions = {}): typeof WebSocket {
  const { base = globalThis.WebSocket, observer, clock } = parts;
  if (!base) throw new TypeError('Option "WebSocket" is required: this platform has none');
  const { intervalMs = 30_000, pongTimeoutMs = 60_000, writeTimeoutMs = 10_000, openTimeoutMs = 10_000 } = options;

  class Socket extends EventTarget implements WatchedSocket {
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSING = 2;
    static readonly CLOSED = 3;
    readonly OPEN = 1;
    readyState = 0;
    binaryType: BinaryType = 'arraybuffer';
    readonly #raw: WebSocket;
    /** Who sent the PINGs that wait for their PONG: tRPC counts its own by order, so it must not see ours. */
    readonly #pings: ('ours' | 'trpc')[] = [];
    #heardAt = 0;
    #frames = 0;
    #wasOpen = false;
    #refusal: UsherError | undefined;
    #stopWatch = () => {};
    #stopWrite: (() => void) | undefined;

    constructor(url: string | URL) {
      super();
      this.#raw = new base(url);
      this.#raw.onopen = () => this.#opened();
      this.#raw.onmessage = ({ data }) => this.#heard(data);
      this.#raw.onclose = ({ code, reason }) => this.#finish(this.#refusal ?? errorOfClose(code, reason), code, reason);
      this.#raw.onerror = () => {
        const fail = () => this.#cut('NETWORK');
        if (!this.#wasOpen) return fail();
        // A close with its code follows, in all runtimes but the one that is broken.
        this.#stopWatch();
        this.#stopWatch = clock.after(100, fail);
      };
      this.#stopWatch = clock.after(openTimeoutMs, () => this.#cut('TIMEOUT', 'handshake'));
    }

    send(data: string) {
      if (data === 'PING') this.#pings.push('trpc');
      this.#raw.send(data);
      if (this.#raw.bufferedAmount > 0) this.#watchWrites();
    }

    close(code?: number) {
      if (this.readyState >= Socket.CLOSING) return;
      this.readyState = Socket.CLOSING;
      this.#closeRaw(code);
      queueMicrotask(() => this.#finish(new UsherError('MOVED'), 1000, ''));
    }

    verify(timeoutMs: number) {
      if (this.readyState === Socket.OPEN) this.#ping(timeoutMs);
    }

    move() {
      if (this.readyState === Socket.OPEN) this.#emit('message', { data: moveFrame });
    }

    #opened() {
      if (this.readyState !== Socket.CONNECTING) return;
      this.readyState = Socket.OPEN;
      this.#wasOpen = true;
      // First of all frames, so that its PONG tells soonest whether there is a server behind the handshake.
      this.#ping(openTimeoutMs);
      this.#emit('open');
    }

    #heard(data: unknown) {
      // tRPC throws at a binary frame; a server of ours sends none.
      if (typeof data !== 'string' || this.readyState !== Socket.OPEN) return;
      this.#refusal ??= refusalIn(data);
      // What comes after a refusal is no sign of life: the close that follows is overdue after openTimeoutMs.
      if (!this.#refusal) this.#alive();
      if (data !== 'PONG' || this.#pings.shift() === 'trpc') this.#emit('message', { data });
    }

    #alive() {
      this.#heardAt = clock.now();
      this.#frames += 1;
      if (this.#frames > 1) return;
      this.#rest();
      observer.proven(this);
    }

    /** Waits for a silence of `intervalMs`. One timer, whatever arrives: a busy stream must not cost a timer a frame. */
    #rest(delayMs = intervalMs) {
      this.#stopWatch();
      this.#stopWatch = clock.after(delayMs, () => {
        const silentMs = clock.now() - this.#heardAt;
        if (silentMs < intervalMs) this.#rest(intervalMs - silentMs);
        else this.#ping(pongTimeoutMs);
      });
    }

    #ping(timeoutMs: number) {
      const sentAt = clock.now();
      const heard = this.#frames;
      this.#pings.push('ours');
      this.#raw.send('PING');
      this.#stopWatch();
      this.#stopWatch = clock.after(timeoutMs, () => {
        // Counted, since a browser's clock may stand still for a while.
        if (this.#frames > heard) this.#rest();
        else if (clock.now() - sentAt > timeoutMs + sleptMs) this.#ping(timeoutMs);
        else this.#cut('TIMEOUT', 'frame from the server');
      });
    }

    /** Looks again while the buffer shrinks; a client sends little, so one that does not shrink is stuck. */
    #watchWrites() {
      const before = this.#raw.bufferedAmount;
      this.#stopWrite ??= clock.after(writeTimeoutMs, () => {
        this.#stopWrite = undefined;
        const left = this.#raw.bufferedAmount;
        if (left >= before) this.#cut('TIMEOUT', 'write');
        else if (left > 0) this.#watchWrites();
      });
    }

    #cut(code: 'NETWORK' | 'TIMEOUT', missed?: string) {
      this.#closeRaw();
      const message = missed && `No ${missed} in time`;
      this.#finish(this.#refusal ?? new UsherError(code, { message }), 1006, '');
    }

    #closeRaw(code?: number) {
      try {
        this.#raw.close(code);
      } catch {
        // A socket that never opened may refuse; it is left in any case.
      }
    }

    #finish(error: UsherError, code: number, reason: string) {
      if (this.readyState === Socket.CLOSED) return;
      this.readyState = Socket.CLOSED;
      this.#stopWatch();
      this.#stopWrite?.();
      this.#raw.onopen = this.#raw.onmessage = this.#raw.onclose = null;
      // Kept: with `ws`, an error without a listener ends the process.
      this.#raw.onerror = () => {};
      // The observer first, so that it has decided when tRPC asks for the next address.
      observer.lost(this, error);
      if (!this.#wasOpen) this.#emit('error');
      this.#emit('close', { code, reason });
    }

    #emit(type: string, fields?: { readonly data?: unknown; readonly code?: number; readonly reason?: string }) {
      // Made by hand: not every runtime has a constructor of each event.
      this.dispatchEvent(Object.assign(new Event(type), fields));
    }
  }

  return Socket as unknown as typeof WebSocket;
}

/** The error of a refusal of the whole connection, `{"id":null,"error":…}`. */
function refusalIn(data: string): UsherError | undefined {
  // Frames that carry events are not parsed twice.
  if (!data.includes('"id":null') || !data.includes('"error"')) return undefined;
  try {
    const frame = JSON.parse(data) as { id?: unknown; error?: unknown } | null;
    return frame?.id === null && frame.error ? errorOfBody(frame.error, {}) : undefined;
  } catch {
    return undefined;
  }
}
