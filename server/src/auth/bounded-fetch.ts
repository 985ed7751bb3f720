import type { FetchImplementation } from 'jose';

/** `fetch` for a key set: reads at most `maxBytes`, and gives up with the signal in the middle of a body too. */
export function boundedFetch(maxBytes: number): FetchImplementation {
  return async (url, options) => {
    const response = await fetch(url, options);
    if (response.status !== 200 || response.body === null) return response;
    return new Response(await readBody(response.body, maxBytes, options.signal), { status: 200 });
  };
}

async function readBody(body: ReadableStream<Uint8Array>, maxBytes: number, signal: AbortSignal): Promise<Blob> {
  const reader = body.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  // Not every runtime ends a read whose request was aborted.
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  aborted.promise.catch(() => {});
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), aborted.promise]);
      if (done) return new Blob(chunks);
      bytes += value.length;
      if (bytes > maxBytes) throw new Error(`Wanted a key set of at most ${maxBytes} bytes`);
      chunks.push(new Uint8Array(value));
    }
  } finally {
    signal.removeEventListener('abort', abort);
    reader.cancel().catch(() => {});
  }
}
