/** A socket as a replay uses it. */
export interface PacedSocket {
  /** Sends now; a promise means: wait, the reader is behind. Settles too when the socket has gone. */
  sendFrame(frame: string): void | Promise<void>;
}

export type Pacer = (socket: PacedSocket, frame: string, signal: AbortSignal) => void | Promise<void>;

/**
 * Makes a wait of one replay the wait of all replays on its socket: each on its own would send one frame more when the
 * socket drains, and a hundred frames of 64 KiB cut a healthy reader.
 */
export function createPacer(): Pacer {
  const behind = new WeakMap<PacedSocket, Promise<void>>();
  const send: Pacer = (socket, frame, signal) => {
    const waiting = behind.get(socket);
    // The first to go on may fill the socket again; then the others find it so, in the order they came.
    if (waiting !== undefined) return waiting.then(() => (signal.aborted ? undefined : send(socket, frame, signal)));
    const wait = socket.sendFrame(frame);
    if (wait === undefined) return undefined;
    const settled = wait.finally(() => behind.delete(socket));
    behind.set(socket, settled);
    return settled;
  };
  return send;
}
