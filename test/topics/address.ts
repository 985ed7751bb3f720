import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** One address for a primary, whichever Redis that is at the moment: what a virtual IP or a DNS name is elsewhere. */
export interface PrimaryAddress extends AsyncDisposable {
  readonly url: string;
  /** New connections go there; those that stand stay where they are, as with DNS. */
  pointTo(port: number): void;
}

export async function primaryAddress(port: number): Promise<PrimaryAddress> {
  const sockets = new Set<Socket>();
  let target = port;
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pointTo(next) {
      target = next;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
