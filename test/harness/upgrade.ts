import { connect } from 'node:net';
import { type Answer, type CallOptions, interpret, type Target } from './http.ts';
import { within } from './wait.ts';

/**
 * Asks for an upgrade over a bare socket and tells how it was answered: a WebSocket client only says that it failed.
 * An accepted one (101) is dropped at once.
 */
export async function tryUpgrade(target: Target, path: string, options: CallOptions = {}): Promise<Answer> {
  const { hostname, port } = new URL(target.url);
  const socket = connect(Number(port), hostname);
  const headers = {
    host: `${hostname}:${port}`,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
    ...options.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  try {
    const text = await within(
      new Promise<string>((resolve, reject) => {
        let received = '';
        socket.on('data', (chunk) => {
          received += chunk.toString();
          if (isWhole(received)) resolve(received);
        });
        socket.on('error', reject);
        socket.on('close', () => resolve(received));
        socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
      }),
      { what: `an answer to the upgrade on ${path.replace(/\?.*/, '')}` },
    );
    return parse(text);
  } finally {
    socket.destroy();
  }
}

function isWhole(received: string): boolean {
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return false;
  if (received.startsWith('HTTP/1.1 101')) return true;
  const length = /^content-length: *(\d+)/im.exec(received.slice(0, end))?.[1];
  return length !== undefined && Buffer.byteLength(received.slice(end + 4)) >= Number(length);
}

function parse(received: string): Answer {
  const [head = '', ...rest] = received.split('\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = new Headers(lines.map((line) => line.split(/: *(.*)/s, 2) as [string, string]));
  const text = rest.join('\r\n\r\n');
  return { status: Number(statusLine.split(' ')[1]), headers, text, ...interpret(text) };
}
