import { expect, test } from 'bun:test';
import { connect, createServer, type Socket } from 'node:net';
import { startProxy, type TcpProxy } from './proxy.ts';
import { eventually, within } from './wait.ts';

/** A server that answers each line with itself. */
async function startEcho() {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      seen.push(chunk.toString());
      socket.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    seen,
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function dial(proxy: TcpProxy) {
  const socket = connect(proxy.port, '127.0.0.1');
  const state = { text: '', closed: false };
  socket.on('data', (chunk) => {
    state.text += chunk.toString();
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) =>
    socket.on('close', () => {
      state.closed = true;
      resolve();
    }),
  );
  return { socket, state, closed, [Symbol.dispose]: () => socket.destroy() };
}

test('a proxy passes both ways and counts', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo.port);
  using client = dial(proxy);
  client.socket.write('hello');
  await eventually(() => client.state.text === 'hello');
  expect(proxy.counts()).toEqual({ accepted: 1, refused: 0, open: 1, bytesUp: 5, bytesDown: 5 });
  client.socket.end();
  await eventually(() => proxy.counts().open === 0);
});

test('a proxy carries megabytes whole', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo.port);
  using client = dial(proxy);
  const block = 'x'.repeat(6_000_000);
  client.socket.write(block);
  await eventually(() => client.state.text.length === block.length);
});

test('a client that does not read holds the sender back, and gets everything once it reads', async () => {
  const total = 64_000_000;
  let sender: Socket | undefined;
  const server = createServer((socket) => {
    sender = socket;
    socket.on('error', () => {});
    socket.end(Buffer.alloc(total));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await using proxy = await startProxy((server.address() as { port: number }).port);
  using client = dial(proxy);
  client.socket.pause();
  let before = -1;
  await eventually(() => {
    const { bytesDown } = proxy.counts();
    const stands = bytesDown > 0 && bytesDown === before;
    before = bytesDown;
    return stands;
  });
  expect(before).toBeLessThan(total);
  expect(sender?.destroyed).toBe(false);
  client.socket.resume();
  await within(client.closed);
  expect(proxy.counts().bytesDown).toBe(total);
  server.close();
});

test('cut() ends what is open and refuses until pass(), drop() takes new ones', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo.port);
  using first = dial(proxy);
  first.socket.write('a');
  await eventually(() => first.state.text === 'a');
  proxy.drop();
  await within(first.closed);
  using second = dial(proxy);
  second.socket.write('b');
  await eventually(() => second.state.text === 'b');
  proxy.cut();
  await within(second.closed);
  using third = dial(proxy);
  await within(third.closed);
  expect(proxy.counts()).toMatchObject({ accepted: 2, refused: 1, open: 0 });
  proxy.pass();
  using fourth = dial(proxy);
  fourth.socket.write('d');
  await eventually(() => fourth.state.text === 'd');
});

test('blackhole() keeps the connection and delivers at pass() what it held', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo.port);
  using client = dial(proxy);
  client.socket.write('a');
  await eventually(() => client.state.text === 'a');
  proxy.blackhole('down');
  client.socket.write('b');
  await eventually(() => echo.seen.join('') === 'ab');
  expect(client.state).toEqual({ text: 'a', closed: false });
  proxy.blackhole('up');
  client.socket.write('c');
  proxy.pass();
  await eventually(() => client.state.text === 'abc');
});

test('cutAfter() lets exactly that many bytes through, then ends that connection only', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo.port);
  using client = dial(proxy);
  using other = dial(proxy);
  other.socket.write('other');
  await eventually(() => other.state.text === 'other');
  proxy.cutAfter(3);
  client.socket.write('hello');
  await within(client.closed);
  expect(client.state.text).toBe('hel');
  proxy.cutAfter(0, 'up');
  using lost = dial(proxy);
  lost.socket.write('lost');
  await within(lost.closed);
  expect(echo.seen.join('')).toBe('otherhello');
  expect(other.state.closed).toBe(false);
});

test('delay() keeps the order, also when it is changed on the way', async () => {
  await using echo = await startEcho();
  await using proxy = await startProxy(echo.port);
  using client = dial(proxy);
  proxy.delay(50, 'up');
  client.socket.write('a');
  await eventually(() => proxy.counts().open === 1);
  proxy.delay(0);
  client.socket.write('b');
  await eventually(() => client.state.text === 'ab');
});
