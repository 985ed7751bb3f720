import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What is done to the connection over which Redis delivers, while commands go on. */
export type Fault =
  /** It is open, answers pings, and delivers nothing: what no ping finds. */
  | 'deaf'
  /** It is open and says nothing at all. */
  | 'silent'
  /** What it says comes 20 ms later. */
  | 'late';

export interface LineProxy extends AsyncDisposable {
  readonly port: number;
  /** From now on, for the subscription lines there are and those that come. */
  readonly wedge: (fault: Fault) => void;
  readonly heal: () => void;
}

/** A RESP3 push of a sharded subscription: `>3`, `smessage`, channel, message; none of what Usher sends holds CR. */
const push = />3\r\n\$8\r\nsmessage\r\n\$\d+\r\n[^\r]*\r\n\$\d+\r\n[^\r]*\r\n/g;

/** A TCP proxy to a Redis that tells subscription lines, which have subscribed, from those for commands. */
export async function startLineProxy(targetPort: number): Promise<LineProxy> {
  const sockets = new Set<Socket>();
  let fault: Fault | null = null;
  const server = createServer((client) => {
    const upstream = connect(targetPort, '127.0.0.1');
    let isDelivery = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (chunk) => {
      isDelivery ||= /ssubscribe/i.test(chunk.toString('latin1'));
      if (!(isDelivery && fault === 'silent')) upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (isDelivery && fault === 'silent') return;
      const isDeaf = isDelivery && fault === 'deaf';
      const passed = isDeaf ? Buffer.from(chunk.toString('latin1').replace(push, ''), 'latin1') : chunk;
      if (isDelivery && fault === 'late') setTimeout(() => client.write(passed), 20);
      else client.write(passed);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    wedge: (kind) => {
      fault = kind;
    },
    heal: () => {
      fault = null;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
