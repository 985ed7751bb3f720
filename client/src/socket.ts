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

const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
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
  if (!base) throw new TypeError('Option "WebSocket" is required');
  const { intervalMs = 30_000, pongTimeoutMs = 60_000, writeTimeoutMs = 10_000, openTimeoutMs = 10_000 } = options;

  function Socket(url: string | URL): EventTarget {
    const raw = new base(url);
    const socket = Object.assign(new EventTarget(), { OPEN: 1, readyState: 0, send, close, verify, move });
    let frames = 0;
    let heardAt = 0;
    let wasOpen = false;
    let refusal: UsherError | undefined;
    let stopWatch = () => {};
    let stopWrite: (() => void) | undefined;

    const emit = (type: string, fields?: object) => {
      // Made by hand: not every runtime has a constructor of each event.
      socket.dispatchEvent(Object.assign(new Event(type), fields));
    };
    /** One thing is waited for at a time: the handshake, a sign of life, or a silence. */
    const wait = (delayMs: number, run: () => void) => {
      stopWatch();
      stopWatch = clock.after(delayMs, run);
    };

    const finish = (error: UsherError, code: number, reason: string) => {
      if (socket.readyState === CLOSED) return;
      socket.readyState = CLOSED;
      stopWatch();
      stopWrite?.();
      raw.onopen = raw.onmessage = raw.onclose = null;
      // Kept: with `ws`, an error without a listener ends the process.
      raw.onerror = () => {};
      // The observer first, so that it has decided when tRPC asks for the next address.
      observer.lost(socket, refusal ?? error);
      if (!wasOpen) emit('error');
      emit('close', { code, reason });
    };
    const cut = (code: 'NETWORK' | 'TIMEOUT') => {
      raw.close();
      finish(new UsherError(code), 1006, '');
    };

    /** Waits for a silence of `intervalMs`. One timer, whatever arrives: a busy stream must not cost a timer a frame. */
    const rest = (delayMs = intervalMs) =>
      wait(delayMs, () => {
        const leftMs = heardAt + intervalMs - clock.now();
        if (leftMs > 0) rest(leftMs);
        else ping(pongTimeoutMs);
      });
    const ping = (timeoutMs: number) => {
      const dueAt = clock.now() + timeoutMs;
      const heard = frames;
      raw.send('PING');
      wait(timeoutMs, () => {
        // Counted, since a browser's clock may stand still for a while.
        if (frames > heard) rest();
        else if (clock.now() > dueAt + sleptMs) ping(timeoutMs);
        else cut('TIMEOUT');
      });
    };
    /** Looks again while the buffer shrinks; a client sends little, so one that does not shrink is stuck. */
    const watchWrites = () => {
      const before = raw.bufferedAmount;
      stopWrite ??= clock.after(writeTimeoutMs, () => {
        stopWrite = undefined;
        if (raw.bufferedAmount >= before) cut('TIMEOUT');
        else if (raw.bufferedAmount > 0) watchWrites();
      });
    };

    function send(data: string) {
      raw.send(data);
      if (raw.bufferedAmount > 0) watchWrites();
    }
    function close() {
      if (socket.readyState > OPEN) return;
      socket.readyState = CLOSING;
      raw.close();
      queueMicrotask(() => finish(new UsherError('MOVED'), 1000, ''));
    }
    function verify(timeoutMs: number) {
      if (socket.readyState === OPEN) ping(timeoutMs);
    }
    function move() {
      if (socket.readyState === OPEN) emit('message', { data: moveFrame });
    }

    raw.onopen = () => {
      if (socket.readyState > 0) return;
      socket.readyState = OPEN;
      wasOpen = true;
      // First of all frames, so that its PONG tells soonest whether there is a server behind the handshake.
      ping(openTimeoutMs);
      emit('open');
    };
    raw.onmessage = ({ data }) => {
      // tRPC throws at a binary frame; a server of ours sends none.
      if (typeof data !== 'string' || socket.readyState !== OPEN) return;
      refusal ??= refusalIn(data);
      // What comes after a refusal is no sign of life: the close that follows is overdue after openTimeoutMs.
      if (!refusal) {
        heardAt = clock.now();
        frames += 1;
        if (frames === 1) {
          rest();
          observer.proven(socket);
        }
      }
      emit('message', { data });
    };
    raw.onclose = ({ code, reason }) => finish(errorOfClose(code, reason), code, reason);
    raw.onerror = () => {
      // A close with its code follows, in all runtimes but the one that is broken.
      if (wasOpen) wait(100, () => cut('NETWORK'));
      else cut('NETWORK');
    };
    wait(openTimeoutMs, () => cut('TIMEOUT'));
    return socket;
  }

  return Object.assign(Socket, { OPEN, CLOSING, CLOSED }) as unknown as typeof WebSocket;
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
