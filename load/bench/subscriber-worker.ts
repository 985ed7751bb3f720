/**
 * A thread full of raw WebSockets that count what they are sent and look at nothing: the reading side must not be what is
 * measured.
 */
declare const self: Worker;

/** Who connects where; with a token a ticket is taken first, and the topics are subscribed to. */
export interface Seat {
  readonly url: string;
  readonly token?: string;
  readonly topics: readonly string[];
}

export type Order =
  | { readonly type: 'connect'; readonly crowd: string; readonly seats: readonly Seat[] }
  /** Report when this many messages have come, counted from the beginning. */
  | { readonly type: 'expect'; readonly crowd: string; readonly messages: number }
  | { readonly type: 'leave'; readonly crowd: string };

export type Report =
  | { readonly type: 'connected' | 'arrived' | 'left'; readonly crowd: string }
  | { readonly type: 'failed'; readonly message: string };

interface Crowd {
  readonly name: string;
  readonly sockets: WebSocket[];
  received: number;
  expected: number;
  leaving: boolean;
}

/** Handshakes under way at once: a listen queue is finite. */
const connectAtOnce = 32;
const crowds = new Map<string, Crowd>();
const report = (message: Report): void => self.postMessage(message);

async function ticketFor({ url, token }: Seat): Promise<string> {
  const response = await fetch(`${url}/ws-ticket`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`No ticket: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { readonly ticket: string }).ticket;
}

/** Opens one socket; settles when it is subscribed. */
async function open(seat: Seat, crowd: Crowd): Promise<void> {
  const query = seat.token === undefined ? '' : `?ticket=${await ticketFor(seat)}`;
  const ws = new WebSocket(`${seat.url.replace(/^http/, 'ws')}/trpc${query}`);
  crowd.sockets.push(ws);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  ws.onclose = ({ code }) => {
    const message = `A socket was closed with ${code}`;
    reject(new Error(message));
    if (!crowd.leaving) report({ type: 'failed', message });
  };
  let missing = seat.topics.length;
  ws.onopen = () => {
    if (missing === 0) return resolve();
    const calls = seat.topics.map((topic, at) => {
      return { id: at + 1, method: 'subscription', params: { path: 'topic.subscribe', input: { topic } } };
    });
    ws.send(JSON.stringify(calls.length === 1 ? calls[0] : calls));
  };
  ws.onmessage = ({ data }) => {
    if (data === 'PING') return ws.send('PONG');
    if (missing === 0) {
      crowd.received += 1;
      if (crowd.received === crowd.expected) report({ type: 'arrived', crowd: crowd.name });
      return;
    }
    const text = String(data);
    if (text.includes('"error"')) return reject(new Error(`Subscribing was refused: ${text}`));
    // Whoever has the snapshot is in the group: both happen in one turn of the server.
    if (!text.includes('"snapshot"')) return;
    missing -= 1;
    if (missing === 0) resolve();
  };
  await promise;
}

async function connect(seats: readonly Seat[], crowd: Crowd): Promise<void> {
  const waiting = [...seats];
  const inTurn = async (): Promise<void> => {
    for (let seat = waiting.pop(); seat !== undefined; seat = waiting.pop()) await open(seat, crowd);
  };
  await Promise.all(Array.from({ length: connectAtOnce }, inTurn));
}

async function leave(crowd: Crowd): Promise<void> {
  // A figure per delivered event is worth nothing when others were delivered.
  if (crowd.received !== crowd.expected) {
    throw new Error(`${crowd.received} messages came to "${crowd.name}", and ${crowd.expected} were published`);
  }
  crowd.leaving = true;
  const gone = crowd.sockets.map((ws) => new Promise((resolve) => ws.addEventListener('close', resolve)));
  for (const ws of crowd.sockets) ws.close();
  await Promise.all(gone);
}

function expect(crowd: Crowd, messages: number): void {
  crowd.expected = messages;
  // The first of them may have overtaken this order.
  if (crowd.received === messages) report({ type: 'arrived', crowd: crowd.name });
}

self.onmessage = async ({ data: order }: MessageEvent<Order>) => {
  const name = order.crowd;
  const crowd = crowds.get(name) ?? { name, sockets: [], received: 0, expected: 0, leaving: false };
  crowds.set(name, crowd);
  try {
    if (order.type === 'expect') return expect(crowd, order.messages);
    if (order.type === 'connect') {
      await connect(order.seats, crowd);
      report({ type: 'connected', crowd: name });
      return;
    }
    await leave(crowd);
    crowds.delete(name);
    report({ type: 'left', crowd: name });
  } catch (error) {
    report({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
};
