import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Finding } from './finding.ts';
import { refusalOf } from './http.ts';

/** One item of a subscription with the id to continue from. */
export interface Item {
  readonly id: string;
  readonly type: string;
  readonly event?: { readonly position: string; readonly name: string; readonly data: unknown };
}

export interface Subscription {
  /** The next item. @throws Finding when it does not come, or the subscription ends */
  next(what: string): Promise<Item>;
  /** Every item so far that nobody has taken. */
  readonly waiting: readonly Item[];
}

/** A WebSocket that speaks tRPC's wire. */
export interface DoctorSocket {
  readonly isOpen: boolean;
  subscribe(input: Readonly<Record<string, unknown>>, lastEventId?: string): Subscription;
  /** Sends PING and waits for PONG. @throws Finding */
  ping(): Promise<void>;
  close(): Promise<void>;
}

interface Frame {
  readonly id?: number | null;
  readonly result?: { readonly type?: string; readonly id?: string; readonly data?: { readonly data?: object } };
  readonly error?: unknown;
}

interface Open {
  readonly items: Item[];
  ended: string | null;
  wake: () => void;
}

/** @throws Finding when it does not open within `timeoutMs` */
export async function openSocket(url: string, path: string, ticket: string, timeoutMs: number): Promise<DoctorSocket> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}${path}?ticket=${encodeURIComponent(ticket)}`);
  const subscriptions = new Map<number, Open>();
  let lastId = 0;
  let pong: () => void = () => {};
  let lost: string | null = null;

  const end = (open: Open, why: string): void => {
    open.ended ??= why;
    open.wake();
  };
  const closed = new Promise<void>((resolve) => {
    socket.onclose = ({ code, reason }) => {
      lost = `the connection closed: ${code} ${reason}`;
      for (const open of subscriptions.values()) end(open, lost);
      resolve();
    };
  });
  socket.onmessage = ({ data }) => {
    const text = String(data);
    if (text === 'PING') return socket.send('PONG');
    if (text === 'PONG') return pong();
    const frame = JSON.parse(text) as Frame;
    const open = subscriptions.get(frame.id ?? -1);
    const refusal = refusalOf(frame);
    if (!open) return;
    if (refusal) return end(open, `it was refused: ${refusal.code} (traceId ${refusal.traceId})`);
    if (frame.result?.type === 'stopped') return end(open, 'the subscription ended');
    const { id, data: envelope } = frame.result ?? {};
    if (id === undefined || !envelope?.data) return;
    open.items.push({ id, ...envelope.data } as Item);
    open.wake();
  };
  try {
    await within(
      new Promise<void>((resolve, reject) => {
        socket.onopen = () => resolve();
        // What the runtime says of the failure may hold the url, and with it the ticket.
        socket.onerror = () => reject(new Error('did not open'));
      }),
      timeoutMs,
      () => new Error(`did not open within ${timeoutMs} ms`),
    );
  } catch (cause) {
    socket.close();
    const said = cause instanceof Error ? cause.message : '';
    throw new Finding(`The WebSocket on ${path} ${said}`, await explain(url, path, timeoutMs), { cause });
  }

  return {
    get isOpen() {
      return socket.readyState === WebSocket.OPEN;
    },
    subscribe(input, lastEventId) {
      lastId += 1;
      const open: Open = { items: [], ended: null, wake: () => {} };
      subscriptions.set(lastId, open);
      const params = { path: 'topic.subscribe', input, ...(lastEventId !== undefined && { lastEventId }) };
      socket.send(JSON.stringify({ id: lastId, method: 'subscription', params }));
      return {
        waiting: open.items,
        async next(what) {
          if (open.items.length === 0 && open.ended === null) {
            const arrived = new Promise<void>((resolve) => {
              open.wake = resolve;
            });
            await within(arrived, timeoutMs, () => new Finding(`Waited ${timeoutMs} ms for ${what}`));
          }
          const item = open.items.shift();
          if (item === undefined) throw new Finding(`Waited for ${what}, and ${open.ended}`);
          return item;
        },
      };
    },
    async ping() {
      const answered = new Promise<void>((resolve) => {
        pong = resolve;
      });
      socket.send('PING');
      await within(answered, timeoutMs, () => new Finding('PING was not answered by PONG'));
    },
    async close() {
      socket.close();
      await within(closed, 2_000, () => new Error()).catch(() => {});
    },
  };
}

const upgradeHint = 'Does every proxy in between pass upgrades on (HTTP/1.1, headers Upgrade and Connection)?';

/** Tells who refuses: without a ticket an Usher answers an upgrade by 401, and nothing else does. */
async function explain(url: string, path: string, timeoutMs: number): Promise<string> {
  const status = await upgradeStatus(url, path, timeoutMs).catch(() => null);
  if (status === 401) return 'Upgrades reach Usher, which refused this one: its log tells why, by traceId.';
  return `${upgradeHint} Without a ticket this upgrade is answered ${status ?? 'not at all'}, where Usher answers 401.`;
}

/** Asks for an upgrade by hand and gives the status: a WebSocket only says that it failed. 101 is dropped at once. */
export function upgradeStatus(url: string, path: string, timeoutMs: number): Promise<number> {
  const { protocol, hostname, port, host, pathname } = new URL(url);
  const isTls = protocol === 'https:';
  const name = hostname.replace(/^\[|\]$/g, '');
  const at = { host: name, port: Number(port || (isTls ? 443 : 80)) };
  const socket = isTls ? connectTls({ ...at, servername: name }) : connectTcp(at);
  const lines = [
    `GET ${pathname === '/' ? '' : pathname}${path} HTTP/1.1`,
    `Host: ${host}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64')}`,
  ];
  const answer = new Promise<number>((resolve, reject) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      if (status !== undefined) resolve(Number(status));
    });
    socket.on('error', (cause) => reject(new Finding('The upgrade got no answer', upgradeHint, { cause })));
    socket.on('close', () => reject(new Finding('The connection closed in answer to an upgrade', upgradeHint)));
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  });
  return within(answer, timeoutMs, () => new Finding('The upgrade got no answer', upgradeHint)).finally(() =>
    socket.destroy(),
  );
}

function within<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  return Promise.race([promise, tooLate]).finally(() => clearTimeout(timer));
}
