import { expect, test } from 'bun:test';
import { createConnection } from 'node:net';
import { startTestServer } from '../testing/index.ts';

test('a reader that stopped is cut within the burst, counted, and keeps nobody waiting', async () => {
  await using server = await startTestServer({ env: { PUBLISHES_PER_SECOND: '100000' } });
  const ticket = await server.ticket();
  const socket = createConnection(server.server.port, '127.0.0.1');
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.on('error', () => {});
  const text = JSON.stringify({
    id: 1,
    method: 'subscription',
    params: { path: 'topic.subscribe', input: { topic: 'public:slow' } },
  });
  const mask = Buffer.alloc(4);
  const header = Buffer.from([0x81, 0x80 | 126, text.length >> 8, text.length & 255]);
  const upgraded = new Promise<void>((resolve) => {
    let seen = '';
    socket.on('data', (chunk) => {
      seen += chunk;
      if (seen.includes('101') && !seen.includes('"started"') && !seen.includes('sent')) {
        seen += 'sent';
        socket.write(Buffer.concat([header, mask, Buffer.from(text)]));
      }
      if (seen.includes('"snapshot"')) resolve();
    });
  });
  socket.write(
    `GET /trpc?ticket=${ticket} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await upgraded;
  socket.pause();
  const data = { text: 'x'.repeat(60_000) };
  for (let at = 0; at < 200; at += 1) await server.publish('public:slow', { name: 'big', data });
  const counted = async () =>
    (await (await fetch(`${server.server.url}/metrics`)).text()).match(/^usher_slow_consumers_total (\d+)$/m)?.[1];
  while ((await counted()) === '0');
  expect(await counted()).toBe('1');
  socket.destroy();
  await closed;
}, 20_000);
