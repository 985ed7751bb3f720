import type { Listener, ListenOptions, Runtime, RuntimeSocket, SocketHandlers } from './runtime.ts';

/** Bun's own HTTP and WebSocket server; its publish writes once per socket and turn of the event loop. */
export const bunRuntime: Runtime = { name: `bun ${Bun.version}`, listen };

function listen(options: ListenOptions): Listener {
  const server = Bun.serve<SocketHandlers>({
    hostname: options.host,
    port: options.port,
    // Bodies are bounded where they are read, which answers with a code; Bun's own 413 is bare, and what is not read it
    // holds back at the sender.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    // Long polls are quiet for up to 25 s; Bun's 10 s would cut them.
    idleTimeout: 60,
    async fetch(request, self) {
      const answer = await options.handle(request, { address: self.requestIP(request)?.address ?? null });
      if (answer instanceof Response) return answer;
      if (self.upgrade(request, { data: answer.upgrade, headers: answer.headers })) return undefined;
      // The handshake itself was wrong, or the client has left: nobody will come to this socket.
      answer.upgrade.close(1006);
      return new Response('Wanted a WebSocket handshake', { status: 400 });
    },
    websocket: {
      maxPayloadLength: options.maxFrameBytes,
      // Past its limit Bun drops frames and keeps the socket, which nobody would notice [design.md, section 7].
      backpressureLimit: options.backpressureLimitBytes,
      closeOnBackpressureLimit: true,
      // Quiet sockets are asked by the service itself, in the words tRPC's client knows.
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      open: (ws) => ws.data.open(new BunSocket(ws)),
      message: (ws, data) => ws.data.message(data),
      drain: (ws) => ws.data.drain(),
      close: (ws, code) => ws.data.close(code),
    },
  });
  return {
    port: server.port as number,
    // 0: dropped, the socket is about to be closed; -1: it is behind.
    publish: (group, frame) => (server.publish(group, frame) > 0 ? 'taken' : 'behind'),
    stop: (now) => server.stop(now),
  };
}

class BunSocket implements RuntimeSocket {
  readonly #ws: Bun.ServerWebSocket<SocketHandlers>;

  constructor(ws: Bun.ServerWebSocket<SocketHandlers>) {
    this.#ws = ws;
  }

  get bufferedBytes(): number {
    return this.#ws.getBufferedAmount();
  }

  send(frame: string): void {
    this.#ws.send(frame);
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }

  join(group: string): void {
    this.#ws.subscribe(group);
  }

  leave(group: string): void {
    this.#ws.unsubscribe(group);
  }
}
