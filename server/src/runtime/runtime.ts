/** One WebSocket as a runtime gives it. */
export interface RuntimeSocket {
  /** Bytes accepted and not yet written to the network. */
  readonly bufferedBytes: number;
  send(frame: string): void;
  close(code: number, reason: string): void;
  /** Ends it without a closing handshake. */
  terminate(): void;
  /** Takes part in a group; takes effect before the call returns. */
  join(group: string): void;
  leave(group: string): void;
}

/** What the service does with one WebSocket. None of these may throw. */
export interface SocketHandlers {
  open(socket: RuntimeSocket): void;
  /** Text frames come as strings, binary ones as bytes. */
  message(data: string | Uint8Array): void;
  /** Some of what was buffered has been written. */
  drain(): void;
  close(code: number): void;
}

/** The answer to an upgrade that is taken. */
export interface Upgrade {
  readonly upgrade: SocketHandlers;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Peer {
  /** The other end of the TCP connection; `null` where the runtime does not tell. */
  readonly address: string | null;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Frames above this are cut by the runtime itself. */
  readonly maxFrameBytes: number;
  /** A socket with more unwritten bytes is closed, never skipped. */
  readonly backpressureLimitBytes: number;
  /** MUST NOT reject. The request's url and headers are read before it is upgraded: Deno has them no longer afterwards. */
  handle(request: Request, peer: Peer): Promise<Response | Upgrade>;
}

/** `behind`: at least one socket of the group did not take the frame at once. */
export type PublishOutcome = 'taken' | 'behind';

export interface Listener {
  readonly port: number;
  /** Sends one frame to every socket of a group, with one write per socket and turn where the runtime can. */
  publish(group: string, frame: string): PublishOutcome;
  /** Takes no new connections; ends the open ones when `now`. */
  stop(now: boolean): Promise<void>;
}

/** Where the service meets the runtime it runs on; the only place that knows `Bun` and `Deno`. */
export interface Runtime {
  readonly name: string;
  listen(options: ListenOptions): Listener;
}
