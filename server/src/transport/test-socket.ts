/** A raw WebSocket for tests of the transport: what came, in order, and how it ended. */
export interface TestSocket extends AsyncDisposable {
  readonly frames: readonly unknown[];
  readonly opened: Promise<boolean>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  send(frame: unknown): void;
  sendRaw(frame: string | Uint8Array): void;
  /** The next frame nobody has taken yet. */
  next(): Promise<Record<string, unknown>>;
  close(): void;
}

const patienceMs = 10_000;

export function openSocket(url: string, headers: Record<string, string> = {}): TestSocket {
  // Bun's WebSocket takes headers, which the web's does not know.
  const ws = new WebSocket(url.replace(/^http/, 'ws'), { headers } as never);
  const frames: unknown[] = [];
  let taken = 0;
  let wake = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<boolean>();
  const closed = Promise.withResolvers<{ code: number; reason: string }>();
  ws.onopen = () => opened.resolve(true);
  ws.onmessage = ({ data }) => {
    frames.push(data === 'PING' || data === 'PONG' ? { text: data } : JSON.parse(String(data)));
    wake.resolve();
    wake = Promise.withResolvers();
  };
  ws.onclose = ({ code, reason }) => {
    opened.resolve(false);
    closed.resolve({ code, reason });
  };
  return {
    frames,
    opened: opened.promise,
    closed: closed.promise,
    send: (frame) => ws.send(JSON.stringify(frame)),
    sendRaw: (frame) => ws.send(frame),
    async next() {
      const deadline = Date.now() + patienceMs;
      while (taken >= frames.length) {
        const late = new Promise<never>((_, reject) =>
          setTimeout(
            () => reject(new Error(`No further frame; seen: ${JSON.stringify(frames)}`)),
            deadline - Date.now(),
          ),
        );
        await Promise.race([wake.promise, late]);
      }
      taken += 1;
      return frames[taken - 1] as Record<string, unknown>;
    },
    close: () => ws.close(),
    async [Symbol.asyncDispose]() {
      ws.close();
    },
  };
}
