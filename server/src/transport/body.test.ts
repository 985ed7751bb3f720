import { afterAll, describe, expect, test } from 'bun:test';
import { connect } from 'node:net';
import { UsherError } from '@usher/contracts';
import { collect } from './body.ts';

const limits = { maxBodyBytes: 100, bodyTimeoutMs: 200 };
let outcome = Promise.withResolvers<string>();

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  async fetch(request) {
    const text = await collect(request, limits).then(
      (bytes) => new TextDecoder().decode(bytes),
      (error: unknown) => (error instanceof UsherError ? `${error.reason}: ${error.message}` : String(error)),
    );
    outcome.resolve(text);
    return new Response(text);
  },
});
afterAll(() => server.stop(true));

/** Sends these bytes as they are; gives the way to hang up. */
function send(head: string, body: string): () => void {
  outcome = Promise.withResolvers<string>();
  const socket = connect(server.port as number, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(`POST / HTTP/1.1\r\nHost: usher\r\n${head}\r\n\r\n${body}`);
  return () => socket.destroy();
}

const chunked = 'Transfer-Encoding: chunked';
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

describe.each([
  ['whose length is stated', (body: string, length = body.length) => [`Content-Length: ${length}`, body]],
  [
    'that comes in chunks',
    (body: string, length = body.length) => [chunked, chunk(body) + (length > body.length ? '' : chunk(''))],
  ],
] as const)('collect() of a body %s', (_name, form) => {
  const post = (body: string, length?: number): (() => void) => {
    const [head = '', rest = ''] = form(body, length);
    return send(head, rest);
  };

  test('gives its bytes', async () => {
    const hangUp = post('{"a":1}');
    expect(await outcome.promise).toBe('{"a":1}');
    hangUp();
  });

  test('gives none of an empty one', async () => {
    const hangUp = post('');
    expect(await outcome.promise).toBe('');
    hangUp();
  });

  test('refuses one that is larger than may be', async () => {
    const hangUp = post('x'.repeat(101));
    expect(await outcome.promise).toBe('PAYLOAD_TOO_LARGE: A body has at most 100 bytes');
    hangUp();
  });

  test('gives up one that does not come', async () => {
    const hangUp = post('half', 8);
    expect(await outcome.promise).toBe('BAD_REQUEST: The body did not come within 200 ms');
    hangUp();
  });

  test('tells when its sender hangs up in the middle', async () => {
    const hangUp = post('half', 8);
    setTimeout(hangUp, 20);
    expect(await outcome.promise).toStartWith('BAD_REQUEST: ');
  });
});
