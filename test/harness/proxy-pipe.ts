import type { Socket } from 'node:net';

/** Most bytes that one connection holds back; past it the sender is no longer read, as on a full network. */
const maxHeldBytes = 4_194_304;

interface Flow {
  readonly from: Socket;
  readonly to: Socket;
  readonly end: () => void;
  /** What has come and not gone on yet; `null` is the end of the stream. */
  readonly queue: { readonly chunk: Buffer | null; readonly dueAt: number }[];
  heldBytes: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** One direction of all connections of a proxy. */
export class Pipe {
  readonly #flows = new Set<Flow>();
  /** Bytes passed on since the start. */
  bytes = 0;
  #delayMs = 0;
  #holds = false;
  #bytesLeft = Number.POSITIVE_INFINITY;

  join(from: Socket, to: Socket, end: () => void): void {
    const flow: Flow = { from, to, end, queue: [], heldBytes: 0, timer: undefined };
    this.#flows.add(flow);
    from.on('data', (chunk: Buffer) => this.#take(flow, chunk));
    from.on('end', () => this.#take(flow, null));
    to.on('drain', () => this.#push(flow));
    from.on('close', () => {
      clearTimeout(flow.timer);
      this.#flows.delete(flow);
    });
  }

  delay(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  hold(): void {
    this.#holds = true;
  }

  pass(): void {
    this.#holds = false;
    this.#delayMs = 0;
    this.#bytesLeft = Number.POSITIVE_INFINITY;
    for (const flow of this.#flows) this.#push(flow);
  }

  cutAfter(bytes: number): void {
    this.#bytesLeft = bytes;
  }

  #take(flow: Flow, chunk: Buffer | null): void {
    flow.queue.push({ chunk, dueAt: performance.now() + this.#delayMs });
    flow.heldBytes += chunk?.length ?? 0;
    if (flow.heldBytes > maxHeldBytes) flow.from.pause();
    this.#push(flow);
  }

  /** Sends on what is due; the order of a connection's bytes never changes. */
  #push(flow: Flow): void {
    clearTimeout(flow.timer);
    while (!this.#holds && !flow.to.destroyed && !flow.to.writableNeedDrain) {
      const next = flow.queue[0];
      if (next === undefined) break;
      const waitMs = next.dueAt - performance.now();
      if (waitMs > 0) {
        flow.timer = setTimeout(() => this.#push(flow), Math.ceil(waitMs));
        return;
      }
      flow.queue.shift();
      if (next.chunk === null) flow.to.end();
      else if (!this.#send(flow, next.chunk)) return;
    }
    if (flow.heldBytes <= maxHeldBytes) flow.from.resume();
  }

  /** Answers false when this was the chunk that the connection is cut in. */
  #send(flow: Flow, chunk: Buffer): boolean {
    flow.heldBytes -= chunk.length;
    if (chunk.length <= this.#bytesLeft) {
      this.#bytesLeft -= chunk.length;
      this.bytes += chunk.length;
      flow.to.write(chunk);
      return true;
    }
    const last = chunk.subarray(0, this.#bytesLeft);
    this.#bytesLeft = Number.POSITIVE_INFINITY;
    this.bytes += last.length;
    if (last.length > 0) flow.to.write(last, flow.end);
    else flow.end();
    return false;
  }
}
