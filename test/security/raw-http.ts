import { connect } from 'node:net';
import { type Answer, interpret, type Target } from '../harness/http.ts';
import { within } from '../harness/wait.ts';

/** Sends bytes no HTTP client would send, and gives what was answered: whole, or until the server hung up. */
export async function exchange(target: Target, request: string): Promise<Answer> {
  const { hostname, port } = new URL(target.url);
  const socket = connect(Number(port), hostname);
  try {
    const text = await within(
      new Promise<string>((resolve) => {
        let received = '';
        socket.on('data', (chunk) => {
          received += chunk.toString('latin1');
          if (isWhole(received)) resolve(received);
        });
        socket.on('error', () => resolve(received));
        socket.on('close', () => resolve(received));
        socket.write(request, 'latin1');
      }),
      { what: `an answer to ${JSON.stringify(request.slice(0, 80))}` },
    );
    const [head = '', ...rest] = text.split('\r\n\r\n');
    const [statusLine = '', ...lines] = head.split('\r\n');
    const headers = new Headers(lines.map((line) => line.split(/: *(.*)/s, 2) as [string, string]));
    const body = rest.join('\r\n\r\n');
    return { status: Number(statusLine.split(' ')[1] ?? 0), headers, text: body, ...interpret(body) };
  } finally {
    socket.destroy();
  }
}

function isWhole(received: string): boolean {
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return false;
  const length = /^content-length: *(\d+)/im.exec(received.slice(0, end))?.[1];
  return length !== undefined && received.length - end - 4 >= Number(length);
}

/** The request of an upgrade with its headers, some replaced, some left out by `null`. */
export function upgradeRequest(path: string, changes: Readonly<Record<string, string | null>> = {}, method = 'GET') {
  const headers = {
    host: 'usher.test',
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...changes,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}\r\n`]));
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}
