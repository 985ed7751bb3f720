import { createServer } from 'node:net';

// Below the ephemeral ports: a client that reconnects to a stopped server from the same port would connect to itself.
const lowest = 20_000;
const highest = 31_999;
const taken = new Set<number>();

/** A port of 127.0.0.1 that nobody listens on and that was not given out before in this process. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1));
    if (taken.has(port) || !(await isFree(port))) continue;
    taken.add(port);
    return port;
  }
  throw new Error(`Found no free port between ${lowest} and ${highest}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
