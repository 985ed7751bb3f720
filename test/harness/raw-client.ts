import { issueTicket, type Target } from './http.ts';
import { isFrame, type RawFrame, type RawRefusal, RawSubscription, refusalOf } from './raw-subscription.ts';
import { eventually, type WaitOptions, within } from './wait.ts';

/** Most frames that one client keeps. */
const maxFrames = 200_000;

export interface RawClientOptions {
  /** Gets a ticket for this token first. */
  readonly token?: string;
  /** Connects with this ticket. */
  readonly ticket?: string;
  /** Sent as the first frame, and announced in the query. */
  readonly connectionParams?: Readonly<Record<string, unknown>>;
  /** @default '/trpc' */
  readonly path?: string;
  /** Headers of the upgrade: `{ authorization: 'Bearer …' }`. @default {} */
  readonly headers?: Readonly<Record<string, string>>;
  /** Answers PING by PONG. @default true */
  readonly answersPing?: boolean;
}

export interface RawAnswer<T = unknown> {
  readonly data: T | undefined;
  readonly error: RawRefusal | undefined;
}

export interface RawClient extends AsyncDisposable {
  /** Everything that came, in order: parsed frames, and bare text such as PING. */
  readonly frames: readonly (RawFrame | string)[];
  /** How the connection ended. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly isOpen: () => boolean;
  /** Sends any text as it is. */
  readonly send: (text: string) => void;
  readonly query: <T = unknown>(path: string, input?: unknown) => Promise<RawAnswer<T>>;
  readonly mutation: <T = unknown>(path: string, input?: unknown) => Promise<RawAnswer<T>>;
  /** `subscribe({ topic: 'job:1' })`; `lastEventId` goes where tRPC puts it, next to the input. */
  readonly subscribe: (
    input: Readonly<Record<string, unknown>>,
    options?: { readonly lastEventId?: string; readonly path?: string; readonly id?: number | string },
  ) => RawSubscription;
  /** The first frame that the predicate accepts, of those that came or come. */
  readonly frame: (accepts: (frame: RawFrame | string) => boolean, options?: WaitOptions) => Promise<RawFrame | string>;
  readonly close: () => Promise<void>;
}

// Bun's own constructor and `terminate`, which the browser's types do not know.
type BunWebSocket = WebSocket & { terminate(): void };
const BunWebSocket = WebSocket as unknown as new (url: string, options: Bun.WebSocketOptions) => BunWebSocket;

/** Opens a WebSocket and speaks tRPC's wire by hand. @throws when the upgrade is refused; `tryUpgrade` tells why */
export async function openRaw(target: Target, options: RawClientOptions): Promise<RawClient> {
  const ticket = options.ticket ?? (options.token === undefined ? undefined : await issueTicket(target, options.token));
  const search = new URLSearchParams();
  if (ticket !== undefined) search.set('ticket', ticket);
  if (options.connectionParams) search.set('connectionParams', '1');
  const url = `${target.url.replace(/^http/, 'ws')}${options.path ?? '/trpc'}${search.size > 0 ? `?${search}` : ''}`;
  const socket = new BunWebSocket(url, { headers: { ...options.headers } });

  const frames: (RawFrame | string)[] = [];
  const pending = new Map<string, (answer: RawAnswer) => void>();
  const subscriptions = new Map<string, RawSubscription>();
  let lastId = 0;

  const take = (frame: RawFrame): void => {
    const id = String(frame.id);
    subscriptions.get(id)?.take(frame);
    pending.get(id)?.({ data: frame.result?.data, error: refusalOf(frame) });
    pending.delete(id);
  };
  socket.onmessage = ({ data }) => {
    const text = String(data);
    if (text === 'PING' && options.answersPing !== false) socket.send('PONG');
    const parsed: unknown = text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text;
    if (frames.length >= maxFrames) throw new Error(`More than ${maxFrames} frames came`);
    frames.push(isFrame(parsed) ? parsed : text);
    if (isFrame(parsed)) take(parsed);
  };
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.onclose = ({ code, reason }) => {
      for (const subscription of subscriptions.values()) subscription.lose();
      resolve({ code, reason });
    };
  });
  await within(
    new Promise<void>((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = (event) => reject(new Error(`No connection: ${(event as ErrorEvent).message}`));
    }),
    { what: 'the WebSocket to open' },
  );

  const request = (method: string, id: number | string, params: Readonly<Record<string, unknown>>): void =>
    socket.send(JSON.stringify({ id, method, params }));
  const call = async <T>(method: string, path: string, input: unknown): Promise<RawAnswer<T>> => {
    const id = ++lastId;
    const answer = new Promise<RawAnswer>((resolve) => pending.set(String(id), resolve));
    request(method, id, { path, input });
    return (await within(Promise.race([answer, lostAfter(closed, path)]), {
      timeoutMs: 40_000,
      what: `an answer to ${path}`,
    })) as RawAnswer<T>;
  };
  if (options.connectionParams) {
    socket.send(JSON.stringify({ method: 'connectionParams', data: options.connectionParams }));
  }

  const close = async (): Promise<void> => {
    socket.close();
    // A peer that is frozen or cut off never answers the close.
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 1_000))]);
    socket.terminate();
  };
  return {
    frames,
    closed,
    isOpen: () => socket.readyState === WebSocket.OPEN,
    send: (text) => socket.send(text),
    query: (path, input) => call('query', path, input),
    mutation: (path, input) => call('mutation', path, input),
    subscribe: (input, { lastEventId, path = 'topic.subscribe', id = ++lastId } = {}) => {
      const subscription = new RawSubscription(id, (text) => socket.send(text));
      subscriptions.set(String(id), subscription);
      request('subscription', id, { path, input, ...(lastEventId !== undefined && { lastEventId }) });
      return subscription;
    },
    frame: (accepts, wait) =>
      eventually(() => frames.find(accepts) ?? false, {
        what: () =>
          `a frame; these came:\n${frames
            .slice(-20)
            .map((frame) => JSON.stringify(frame))
            .join('\n')}`,
        ...wait,
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function lostAfter(closed: RawClient['closed'], path: string): Promise<never> {
  const { code, reason } = await closed;
  throw new Error(`The connection closed before ${path} was answered: ${code} ${reason}`);
}
