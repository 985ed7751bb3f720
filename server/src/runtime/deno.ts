import { codes } from '@usher/contracts/codes';
import type { Listener, ListenOptions, Runtime, RuntimeSocket, SocketHandlers } from './runtime.ts';

/** The part of Deno's API that is used here; its types are not installed beside Bun's. */
interface DenoApi {
  readonly version: { readonly deno: string };
  serve(
    options: { hostname: string; port: number; onListen(address: { port: number }): void },
    handler: (request: Request, info: { remoteAddr: { hostname?: string } }) => Promise<Response>,
  ): { readonly addr: { readonly port: number }; shutdown(): Promise<void>; readonly finished: Promise<void> };
  upgradeWebSocket(request: Request, options: { idleTimeout: number }): { socket: WebSocket; response: Response };
}

const deno = (globalThis as unknown as { Deno: DenoApi }).Deno;

/** Deno tells no `drain`: buffers are looked at this often while anybody waits for one. */
const drainPollMs = 20;

export const denoRuntime: Runtime = { name: `deno ${deno?.version.deno}`, listen };

function listen(options: ListenOptions): Listener {
  const groups = new Map<string, Set<DenoSocket>>();
  const sockets = new Set<DenoSocket>();
  const server = deno.serve({ hostname: options.host, port: options.port, onListen() {} }, async (request, info) => {
    const answer = await options.handle(request, { address: info.remoteAddr.hostname ?? null });
    if (answer instanceof Response) return answer;
    const handlers = answer.upgrade;
    try {
      const { socket: ws, response } = deno.upgradeWebSocket(request, { idleTimeout: 0 });
      for (const [name, value] of Object.entries(answer.headers)) response.headers.set(name, value);
      ws.binaryType = 'arraybuffer';
      const socket = new DenoSocket(ws, groups, options.backpressureLimitBytes, handlers);
      ws.onopen = () => {
        sockets.add(socket);
        handlers.open(socket);
      };
      ws.onmessage = ({ data }) => handlers.message(typeof data === 'string' ? data : new Uint8Array(data));
      ws.onerror = () => {};
      ws.onclose = ({ code }) => {
        sockets.delete(socket);
        socket.leaveAll();
        handlers.close(code);
      };
      return response;
    } catch {
      handlers.close(1006);
      return new Response('Wanted a WebSocket handshake', { status: 400 });
    }
  });
  const drainTimer = setInterval(() => {
    for (const socket of sockets) socket.tellDrain();
  }, drainPollMs);
  return {
    port: server.addr.port,
    publish(group, frame) {
      for (const socket of groups.get(group) ?? []) socket.send(frame);
      return 'taken';
    },
    async stop(now) {
      clearInterval(drainTimer);
      if (now) for (const socket of sockets) socket.terminate();
      // Deno's shutdown waits for every open socket; the process that stops does not.
      await Promise.race([server.shutdown(), new Promise((resolve) => setTimeout(resolve, 500))]);
    },
  };
}

class DenoSocket implements RuntimeSocket {
  readonly #ws: WebSocket;
  readonly #groups: Map<string, Set<DenoSocket>>;
  readonly #limitBytes: number;
  readonly #handlers: SocketHandlers;
  readonly #joined = new Set<string>();
  #wasBehind = false;
  #lastBuffered = 0;

  constructor(ws: WebSocket, groups: Map<string, Set<DenoSocket>>, limitBytes: number, handlers: SocketHandlers) {
    this.#ws = ws;
    this.#groups = groups;
    this.#limitBytes = limitBytes;
    this.#handlers = handlers;
  }

  get bufferedBytes(): number {
    return this.#ws.bufferedAmount;
  }

  send(frame: string): void {
    if (this.#ws.readyState !== WebSocket.OPEN) return;
    this.#ws.send(frame);
    if (this.#ws.bufferedAmount > 0) this.#wasBehind = true;
    if (this.#ws.bufferedAmount > this.#limitBytes) this.#cut();
  }

  tellDrain(): void {
    if (!this.#wasBehind) return;
    const buffered = this.#ws.bufferedAmount;
    const isLess = buffered < this.#lastBuffered;
    this.#lastBuffered = buffered;
    this.#wasBehind = buffered > 0;
    if (isLess || buffered === 0) this.#handlers.drain();
  }

  /** The close is read after all that is buffered, and may never be answered: the service is told now. */
  #cut(): void {
    const { close } = codes.SLOW_CONSUMER;
    this.close(close, 'SLOW_CONSUMER');
    queueMicrotask(() => this.#handlers.close(close));
  }

  close(code: number, reason: string): void {
    // The web's WebSocket takes 1000 and 3000 to 4999 only; what it does not take is closed without a code.
    try {
      this.#ws.close(code, reason);
    } catch {
      this.#ws.close();
    }
  }

  terminate(): void {
    this.#ws.close();
  }

  join(group: string): void {
    this.#joined.add(group);
    const members = this.#groups.get(group);
    if (members) members.add(this);
    else this.#groups.set(group, new Set([this]));
  }

  leave(group: string): void {
    this.#joined.delete(group);
    const members = this.#groups.get(group);
    if (members?.delete(this) && members.size === 0) this.#groups.delete(group);
  }

  leaveAll(): void {
    for (const group of this.#joined) this.leave(group);
  }
}
