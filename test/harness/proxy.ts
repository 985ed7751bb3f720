import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Pipe } from './proxy-pipe.ts';

/** `up`: from the client to the server. */
export type Direction = 'up' | 'down';

export interface ProxyCounts {
  /** Connections accepted since the start, refused ones not among them. */
  readonly accepted: number;
  readonly refused: number;
  readonly open: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  readonly counts: () => ProxyCounts;
  /** Ends every connection at once and refuses new ones, until `pass`. */
  readonly cut: () => void;
  /** Ends every connection at once and takes new ones. */
  readonly drop: () => void;
  /** Everything passes again; what was held arrives now, as after a healed network. */
  readonly pass: () => void;
  /** Each chunk arrives this much later, in order; both ways unless one is named. */
  readonly delay: (delayMs: number, direction?: Direction) => void;
  /** Connections stay open and are taken, and nothing arrives until `pass`; both ways unless one is named. */
  readonly blackhole: (direction?: Direction) => void;
  /** Lets that many more bytes through, then ends the connection they came on; once. @default direction 'down' */
  readonly cutAfter: (bytes: number, direction?: Direction) => void;
}

/** A TCP proxy to a port of 127.0.0.1 that misbehaves on demand; `port` takes the place of one that has gone. */
export async function startProxy(targetPort: number, port = 0): Promise<TcpProxy> {
  const pipes = { up: new Pipe(), down: new Pipe() } as const;
  const pairs = new Set<readonly [Socket, Socket]>();
  const counts = { accepted: 0, refused: 0 };
  let refuses = false;

  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on('error', () => client.destroy());
    if (refuses) {
      counts.refused++;
      client.resetAndDestroy();
      return;
    }
    counts.accepted++;
    const upstream = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
    const pair = [client, upstream] as const;
    const end = (): void => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    pairs.add(pair);
    client.setNoDelay();
    upstream.setNoDelay();
    upstream.on('error', end);
    client.on('close', end);
    upstream.on('close', end);
    pipes.up.join(client, upstream, end);
    pipes.down.join(upstream, client, end);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });

  const drop = (): void => {
    for (const [client, upstream] of [...pairs]) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  };
  const each = (direction: Direction | undefined, change: (pipe: Pipe) => void): void => {
    for (const name of ['up', 'down'] as const) if (direction === undefined || direction === name) change(pipes[name]);
  };
  return {
    port: (server.address() as AddressInfo).port,
    counts: () => ({ ...counts, open: pairs.size, bytesUp: pipes.up.bytes, bytesDown: pipes.down.bytes }),
    drop,
    cut: () => {
      refuses = true;
      drop();
    },
    pass: () => {
      refuses = false;
      each(undefined, (pipe) => pipe.pass());
    },
    delay: (delayMs, direction) => each(direction, (pipe) => pipe.delay(delayMs)),
    blackhole: (direction) => each(direction, (pipe) => pipe.hold()),
    cutAfter: (bytes, direction = 'down') => pipes[direction].cutAfter(bytes),
    [Symbol.asyncDispose]: async () => {
      refuses = true;
      drop();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
