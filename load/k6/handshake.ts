import { openSocket } from './wire.ts';

/** Opens a connection, waits for the answer to one call and leaves; answers whether it came. */
export const handshake = (path: string, ticket: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = openSocket(path, ticket, {
      // A PING would be answered before it is known whose the ticket is; a call is parked until then.
      onOpen: () => socket.query(1, 'health.live'),
      onPong: () => {},
      onFrame: (frame) => {
        resolve(frame.result !== undefined);
        // A refusal after the upgrade too: the server's own close takes a second.
        socket.close();
      },
      onEnd: () => resolve(false),
    });
  });
