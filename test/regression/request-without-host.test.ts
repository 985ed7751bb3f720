// HAProxy's health check is HTTP/1.0 and names no host: Bun's `request.url` is then a bare path, which was answered by
// 500, so that no replica ever became ready behind the balancer of compose.yaml.
import { expect, test } from 'bun:test';
import { connect } from 'node:net';
import { startServer } from '../harness/server.ts';
import { within } from '../harness/wait.ts';

/** Sends bytes as they are and gives what came until the server hung up. */
function exchange(port: number, text: string): Promise<string> {
  const answer = new Promise<string>((resolve, reject) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk) => {
      received += chunk.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(received));
  });
  return within(answer, { what: `an answer to ${text.split('\r\n')[0]}` });
}

test('a request without a Host is answered like any other', async () => {
  await using server = await startServer();
  for (const path of ['/readyz', '/healthz', '/trpc/health.ready', '/trpc/health.live']) {
    const answer = await exchange(server.port, `GET ${path} HTTP/1.0\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toContain('"status":"ok"');
  }
});

test('a Host that is none is refused with a code', async () => {
  await using server = await startServer();
  const answer = await exchange(server.port, 'GET /readyz HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer).toContain('"BAD_REQUEST"');
  expect(server.logs().filter(({ level }) => level === 'error')).toEqual([]);
});
