import { expect, test } from 'bun:test';
import { connect } from 'node:net';
import { get, query } from '../harness/http.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { onEachServer } from '../wire/each-server.ts';
import { readStream } from './event-stream.ts';

interface Drip {
  readonly received: string;
  /** The server hung up. */
  readonly closed: boolean;
}

/** Sends the head, then a little every half second, until the server has answered and, if it may, hung up. */
async function drip(port: number, head: string, drop: string, isDone: (drip: Drip) => boolean): Promise<Drip> {
  const socket = connect(port, '127.0.0.1');
  const state = { received: '', closed: false };
  socket.on('data', (chunk) => {
    state.received += chunk.toString();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    state.closed = true;
  });
  socket.write(head);
  const timer = setInterval(() => drop !== '' && socket.writable && socket.write(drop), 500);
  try {
    await eventually(() => isDone(state), { timeoutMs: 25_000, what: 'the server to lose its patience' });
    return state;
  } finally {
    clearInterval(timer);
    socket.destroy();
  }
}

// Deno's HTTP server has no bound on headers: in front of it belongs a balancer, which has.
onEachServer(
  (server) => {
    const body = async (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${await publisherToken()}\r\nContent-Length: 1000\r\n\r\n`;

    test.concurrent.each(['/ws-ticket', '/trpc/topic.publish'])(
      'a body that drips is given up with BAD_REQUEST on %s',
      async (path) => {
        const { received } = await drip(server().port, await body(path), ' ', ({ received: text }) =>
          text.includes('traceId'),
        );
        expect(received).toStartWith('HTTP/1.1 400');
        expect(received).toContain('BAD_REQUEST');
      },
      30_000,
    );

    test.concurrent('a body nobody waits for delays no answer', async () => {
      const head = 'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n';
      const { received } = await drip(server().port, head, ' ', ({ received: text }) => text.includes('version'));
      expect(received).toStartWith('HTTP/1.1 200');
    }, 30_000);

    test.concurrent.each([
      ['says nothing', '', ''],
      ['drips a header', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ', 'y'],
      ['drips headers', 'GET /healthz HTTP/1.1\r\nHost: x\r\n', 'X-A: y\r\n'],
      ['stops in its request line', 'GET /hea', ''],
    ])(
      'a connection that %s is closed',
      async (_, head, drop) => {
        expect((await drip(server().port, head, drop, ({ closed }) => closed)).received).toBe('');
      },
      30_000,
    );
  },
  { kinds: ['Bun, memory'] },
);

onEachServer(
  (server) => {
    const metric = async (name: string) =>
      Number(new RegExp(`^${name} (\\d+)`, 'm').exec((await get(server(), '/metrics')).text)?.[1]);

    test('a poll ends when its caller hangs up, and a stream when its reader does', async () => {
      const token = await mintToken();
      const topic = 'user:alice';
      const first = await query<{ lastEventId: string }>(server(), 'topic.poll', { topic }, { token });
      const input = encodeURIComponent(JSON.stringify({ topic, waitMs: 25_000, lastEventId: first.data?.lastEventId }));
      const controller = new AbortController();
      const polls = await metric('usher_polls_total');
      const poll = fetch(`${server().url}/trpc/topic.poll?input=${input}`, {
        headers: { authorization: `Bearer ${token}` },
        signal: controller.signal,
      }).catch(() => 'left');
      const stream = await readStream(server(), { topic }, token);
      await stream.until((text) => text.includes('snapshot'));
      expect(await metric('usher_subscriptions')).toBe(1);
      controller.abort();
      stream.close();
      expect(await poll).toBe('left');
      await eventually(async () => (await metric('usher_polls_total')) > polls, { what: 'the poll to end' });
      await eventually(async () => (await metric('usher_subscriptions')) === 0, { what: 'the stream to end' });
    });
  },
  { kinds: ['Bun, memory', 'Deno, memory'] },
);
