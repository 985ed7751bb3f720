import type { FetchImplementation } from 'jose';

/** `fetch` for a key set that reads at most `maxBytes`; the caller's signal ends it, in the middle of a body too. */
export function boundedFetch(maxBytes: number): FetchImplementation {
  return async (url, options) => {
    const response = await fetch(url, options);
    if (response.status !== 200 || response.body === null) return response;
    return new Response(await readBody(response.body, maxBytes), { status: 200 });
  };
}

async function readBody(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Blob> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  // Leaving the loop by a throw cancels the rest.
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`Wanted a key set of at most ${maxBytes} bytes`);
    chunks.push(new Uint8Array(chunk));
  }
  return new Blob(chunks);
}
