import { openSocket } from './wire.ts';

/** Opens a connection, waits for the answer to one PING and leaves; answers whether it came. */
export const handshake = (path: string, ticket: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = openSocket(path, ticket, {
      onOpen: () => socket.ping(),
      onPong: () => {
        resolve(true);
        socket.close();
      },
      // A refusal after the upgrade; the close that follows it takes a second.
      onFrame: (frame) => {
        if (frame.error) socket.close();
      },
      onEnd: () => resolve(false),
    });
  });
