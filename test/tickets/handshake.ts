import { connect } from 'node:net';
import type { Target } from '../harness/http.ts';
import { within } from '../harness/wait.ts';

/** How one attempt to use a ticket ended. */
export type Attempt =
  | { readonly served: true }
  /** Before the upgrade, with its status, or after it. */
  | { readonly served: false; readonly status: number; readonly reason: string };

/** An attempt whose TCP connection is there; `go` sends the handshake and gives how it ended. */
export interface Knock {
  go(): Promise<Attempt>;
  close(): void;
}

const query = '{"id":1,"method":"query","params":{"path":"health.live"}}';

/** Connects first, so that several attempts can then be sent in one moment. */
export async function knock(target: Target, ticket: string): Promise<Knock> {
  const { hostname, port } = new URL(target.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await within(new Promise((resolve) => socket.once('connect', resolve)), { what: 'a TCP connection' });
  return {
    go: () =>
      within(
        new Promise<Attempt>((resolve) => {
          let received = '';
          let upgraded = false;
          socket.on('data', (chunk) => {
            received += chunk.toString('latin1');
            if (!received.includes('\r\n\r\n')) return;
            if (!upgraded && received.startsWith('HTTP/1.1 101')) {
              upgraded = true;
              socket.write(masked(query));
            }
            const attempt = read(received);
            if (attempt) resolve(attempt);
          });
          socket.on('close', () => resolve({ served: false, status: 0, reason: 'closed' }));
          socket.write(
            `GET /trpc?ticket=${ticket} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
          );
        }),
        { what: 'the end of a handshake' },
      ),
    close: () => socket.destroy(),
  };
}

/** One attempt from beginning to end. */
export async function tryTicket(target: Target, ticket: string): Promise<Attempt> {
  const attempt = await knock(target, ticket);
  try {
    return await attempt.go();
  } finally {
    attempt.close();
  }
}

function read(received: string): Attempt | undefined {
  const body = received.slice(received.indexOf('\r\n\r\n') + 4);
  if (body.includes('"result"')) return { served: true };
  const reason = /"(?:reason|code)":"([A-Z_]+)","/.exec(body.replace(/"code":"[A-Z_]+","httpStatus"/, ''))?.[1];
  if (reason === undefined || !body.includes('}')) return undefined;
  const status = Number(received.slice(9, 12));
  return { served: false, status, reason };
}

/** A text frame of a client. */
function masked(text: string): Buffer {
  const payload = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}
