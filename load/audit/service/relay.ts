import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** All connections, or those a subscription was sent on. */
export type Which = 'all' | 'subscriptions';

/** What is held: both ways of connections, or what comes back to the client on all of them. */
export type Held = Which | 'answers';

export interface RelayOptions {
  /** Port of 127.0.0.1 a new connection goes to; `null` refuses it. */
  readonly target: () => number | null;
  /** Tells by what a client sends that its connection carries subscriptions. @default none does */
  readonly isSubscription?: (chunk: Buffer) => boolean;
}

/** A TCP relay that can do to some of its connections what a network does to all. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Nothing passes and nothing is read, and the connections stay open. */
  readonly holding: boolean;
  /** Ends connections at once. */
  drop(which?: Which): void;
  /** Ends connections at once, and new ones as soon as they are known to be meant, until `pass`. */
  cut(which?: Which): void;
  /** Reads nothing more, of new connections too, until `pass`: senders find the network full. */
  hold(what?: Held): void;
  /** Everything arrives this much later, in order. */
  delay(delayMs: number): void;
  pass(): void;
}

interface Flow {
  readonly from: Socket;
  readonly to: Socket;
  readonly late: { readonly chunk: Buffer; readonly dueAt: number }[];
  timer: ReturnType<typeof setTimeout> | undefined;
}

interface Pair {
  readonly up: Flow;
  readonly down: Flow;
  subscribes: boolean;
  readonly end: () => void;
}

export async function startRelay(options: RelayOptions): Promise<Relay> {
  const pairs = new Set<Pair>();
  let held: Held | null = null;
  let refused: Which | null = null;
  let delayMs = 0;
  const means = (which: Which, pair: Pair): boolean => which === 'all' || pair.subscribes;
  const isHeld = (pair: Pair, flow: Flow): boolean => {
    if (held === 'answers') return flow === pair.down;
    return held !== null && means(held, pair);
  };
  const stopHeld = (pair: Pair): void => {
    for (const flow of [pair.up, pair.down]) if (isHeld(pair, flow)) flow.from.pause();
  };

  const push = (flow: Flow): void => {
    clearTimeout(flow.timer);
    for (let next = flow.late[0]; next !== undefined; next = flow.late[0]) {
      const waitMs = next.dueAt - performance.now();
      if (waitMs > 0) {
        flow.timer = setTimeout(() => push(flow), Math.ceil(waitMs));
        return;
      }
      flow.late.shift();
      flow.to.write(next.chunk);
    }
  };

  const send = (flow: Flow, chunk: Buffer): void => {
    // What was already delayed goes first, or a connection's bytes would change places.
    if (delayMs > 0 || flow.late.length > 0) {
      flow.late.push({ chunk, dueAt: performance.now() + delayMs });
      push(flow);
    } else if (!flow.to.write(chunk)) {
      flow.from.pause();
    }
  };

  const join = (pair: Pair, flow: Flow): void => {
    flow.from.on('data', (chunk: Buffer) => {
      if (flow === pair.up && !pair.subscribes && options.isSubscription?.(chunk)) {
        pair.subscribes = true;
        if (refused !== null && means(refused, pair)) return pair.end();
        stopHeld(pair);
      }
      send(flow, chunk);
    });
    flow.to.on('drain', () => {
      if (!isHeld(pair, flow)) flow.from.resume();
    });
    flow.from.on('end', pair.end);
    flow.from.on('close', pair.end);
    flow.from.on('error', pair.end);
  };

  const server = createServer((client) => {
    const port = refused === 'all' ? null : options.target();
    if (port === null) {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(port, '127.0.0.1');
    client.setNoDelay();
    upstream.setNoDelay();
    const pair: Pair = {
      up: { from: client, to: upstream, late: [], timer: undefined },
      down: { from: upstream, to: client, late: [], timer: undefined },
      subscribes: false,
      end() {
        if (!pairs.delete(pair)) return;
        clearTimeout(pair.up.timer);
        clearTimeout(pair.down.timer);
        client.destroy();
        upstream.destroy();
      },
    };
    pairs.add(pair);
    join(pair, pair.up);
    join(pair, pair.down);
    stopHeld(pair);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });

  const each = (which: Which, act: (pair: Pair) => void): void => {
    for (const pair of [...pairs]) if (means(which, pair)) act(pair);
  };
  return {
    port: (server.address() as AddressInfo).port,
    get holding() {
      return held !== null;
    },
    drop: (which = 'all') => each(which, (pair) => pair.end()),
    cut(which = 'all') {
      refused = which;
      each(which, (pair) => pair.end());
    },
    hold(what = 'all') {
      held = what;
      each('all', stopHeld);
    },
    delay(ms) {
      delayMs = ms;
    },
    pass() {
      refused = null;
      delayMs = 0;
      held = null;
      each('all', ({ up, down }) => {
        up.from.resume();
        down.from.resume();
      });
    },
    async [Symbol.asyncDispose]() {
      each('all', (pair) => pair.end());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
