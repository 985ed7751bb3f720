import { expect, test } from 'bun:test';
import { connect, createServer, type Socket } from 'node:net';
import { eventually, within } from '../../../test/harness/wait.ts';
import { startRelay } from './relay.ts';

/** A server that answers each chunk with itself, behind a relay that knows a subscription by its first letter. */
async function startStand() {
  const sockets = new Set<Socket>();
  let heard = '';
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      heard += chunk.toString();
      socket.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const target = (server.address() as { port: number }).port;
  const relay = await startRelay({ target: () => target, isSubscription: (chunk) => chunk[0] === 83 });
  return {
    relay,
    /** Everything that has arrived at the server. */
    heard: () => heard,
    dial() {
      const socket = connect(relay.port, '127.0.0.1');
      const state = { text: '' };
      socket.on('data', (chunk) => {
        state.text += chunk.toString();
      });
      socket.on('error', () => {});
      const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
      return { state, closed, send: (text: string) => socket.write(text), [Symbol.dispose]: () => socket.destroy() };
    },
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('cut() of subscriptions ends those alone, and new ones as soon as they are known', async () => {
  await using stand = await startStand();
  using subscription = stand.dial();
  using commands = stand.dial();
  subscription.send('S');
  commands.send('c');
  await eventually(() => subscription.state.text === 'S' && commands.state.text === 'c');
  stand.relay.cut('subscriptions');
  await within(subscription.closed);
  using again = stand.dial();
  again.send('S');
  await within(again.closed);
  commands.send('d');
  await eventually(() => commands.state.text === 'cd');
  stand.relay.pass();
  using back = stand.dial();
  back.send('S');
  await eventually(() => back.state.text === 'S');
});

test('hold() of subscriptions lets nothing of them pass, and pass() all of it', async () => {
  await using stand = await startStand();
  using subscription = stand.dial();
  using commands = stand.dial();
  subscription.send('S');
  await eventually(() => subscription.state.text === 'S');
  stand.relay.hold('subscriptions');
  using late = stand.dial();
  late.send('S');
  subscription.send('more');
  commands.send('c');
  await eventually(() => commands.state.text === 'c');
  expect([subscription.state.text, late.state.text]).toEqual(['S', '']);
  stand.relay.pass();
  await eventually(() => subscription.state.text === 'Smore' && late.state.text === 'S');
});

test('hold() of answers lets what is asked pass', async () => {
  await using stand = await startStand();
  using client = stand.dial();
  client.send('a');
  await eventually(() => client.state.text === 'a');
  stand.relay.hold('answers');
  client.send('b');
  await eventually(() => stand.heard() === 'ab');
  expect(client.state.text).toBe('a');
  stand.relay.pass();
  await eventually(() => client.state.text === 'ab');
});

test('delay() keeps the order, also when it ends', async () => {
  await using stand = await startStand();
  using client = stand.dial();
  client.send('a');
  await eventually(() => client.state.text === 'a');
  stand.relay.delay(50);
  client.send('b');
  client.send('c');
  stand.relay.pass();
  client.send('d');
  await eventually(() => client.state.text.length === 4);
  expect(client.state.text).toBe('abcd');
});

test('a relay without a target refuses', async () => {
  await using relay = await startRelay({ target: () => null });
  const socket = connect(relay.port, '127.0.0.1');
  socket.on('error', () => {});
  await within(new Promise<void>((resolve) => socket.on('close', () => resolve())));
});
