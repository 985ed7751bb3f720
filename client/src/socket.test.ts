import { expect, test } from 'bun:test';
import { createFakeClock } from './fake-clock.fixture.ts';
import { FakeSocket, fakeWebSocket } from './fake-host.fixture.ts';
import { createSocketClass, type HeartbeatOptions, type WatchedSocket } from './socket.ts';

const sleeps = { ms: 0 };

function make(options: HeartbeatOptions = {}) {
  FakeSocket.made = [];
  sleeps.ms = 0;
  const clock = createFakeClock();
  const told: string[] = [];
  const heard: string[] = [];
  const watched: WatchedSocket[] = [];
  const observer = {
    proven(socket: WatchedSocket) {
      watched.push(socket);
      told.push('proven');
    },
    lost: (_: WatchedSocket, { code }: { code: string }) => told.push(`lost ${code}`),
  };
  // A machine that sleeps: its clock goes on, its timers do not.
  const sleepy = { ...clock, now: () => clock.now() + sleeps.ms };
  const Socket = createSocketClass({ base: fakeWebSocket, observer, clock: sleepy }, options);
  const socket = new Socket('ws://usher/trpc?ticket=x');
  for (const type of ['open', 'message', 'error', 'close']) {
    socket.addEventListener(type, (event) => {
      const { data, code } = event as { data?: unknown; code?: number };
      heard.push([type, data ?? code].filter((part) => part !== undefined).join(' '));
    });
  }
  const raw = FakeSocket.made[0] as FakeSocket;
  return { clock, told, heard, socket, raw, watched };
}

test('a socket is proven by the first frame, not by the handshake', () => {
  const { raw, told, heard } = make();
  raw.open();
  expect([raw.sent, told, heard]).toEqual([['PING'], [], ['open']]);
  raw.message('PONG');
  expect(told).toEqual(['proven']);
  expect(heard).toEqual(['open', 'message PONG']);
});

test('a handshake that takes too long is an error and a close, though the platform says nothing', async () => {
  const { clock, raw, told, heard } = make({ openTimeoutMs: 3_000 });
  await clock.advance(3_000);
  expect([told, heard, raw.closed]).toEqual([['lost TIMEOUT'], ['error', 'close 1006'], true]);
});

test('a proxy that accepts and says nothing is left after openTimeoutMs', async () => {
  const { clock, raw, told, heard } = make({ openTimeoutMs: 3_000 });
  raw.open();
  await clock.advance(3_000);
  expect([told, heard]).toEqual([['lost TIMEOUT'], ['open', 'close 1006']]);
});

test('silence is answered with a PING, and further silence with the end', async () => {
  const { clock, raw, told } = make({ intervalMs: 30_000, pongTimeoutMs: 60_000 });
  raw.open();
  raw.message('PONG');
  await clock.advance(29_999);
  expect(raw.sent).toEqual(['PING']);
  await clock.advance(1);
  expect(raw.sent).toEqual(['PING', 'PING']);
  await clock.advance(59_999);
  expect(told).toEqual(['proven']);
  await clock.advance(1);
  expect(told).toEqual(['proven', 'lost TIMEOUT']);
  expect(clock.waiting).toBe(0);
});

test('any frame is a sign of life', async () => {
  const { clock, raw, told } = make({ intervalMs: 1_000, pongTimeoutMs: 2_000 });
  raw.open();
  raw.message('PONG');
  for (let n = 0; n < 20; n += 1) {
    await clock.advance(900);
    raw.message('{"id":1}');
  }
  expect(raw.sent).toEqual(['PING']);
  await clock.advance(1_000);
  raw.message('{"id":1}');
  await clock.advance(2_900);
  expect(told).toEqual(['proven']);
});

test('a machine that slept asks again before it gives the connection up', async () => {
  const { clock, raw, told } = make({ intervalMs: 1_000, pongTimeoutMs: 2_000 });
  raw.open();
  raw.message('PONG');
  await clock.advance(1_000);
  sleeps.ms = 3_600_000;
  await clock.advance(2_000);
  expect(told).toEqual(['proven']);
  await clock.advance(2_000);
  expect(told).toEqual(['proven', 'lost TIMEOUT']);
});

test('a write that does not leave for writeTimeoutMs ends the connection; one that does is left alone', async () => {
  const stuck = make({ writeTimeoutMs: 10_000 });
  stuck.raw.open();
  stuck.raw.message('PONG');
  stuck.raw.bufferedAmount = 100;
  stuck.socket.send('x');
  await stuck.clock.advance(10_000);
  expect(stuck.told).toEqual(['proven', 'lost TIMEOUT']);

  const slow = make({ writeTimeoutMs: 10_000 });
  slow.raw.open();
  slow.raw.message('PONG');
  slow.raw.bufferedAmount = 100;
  slow.socket.send('x');
  slow.raw.bufferedAmount = 50;
  await slow.clock.advance(10_000);
  slow.raw.bufferedAmount = 0;
  await slow.clock.advance(10_000);
  expect(slow.told).toEqual(['proven']);
});

test('close() is reported at once, though the other end has gone', async () => {
  const { clock, raw, socket, told, heard } = make();
  raw.open();
  raw.message('PONG');
  socket.close();
  await clock.advance(0);
  expect([told, heard, raw.closed]).toEqual([['proven', 'lost MOVED'], ['open', 'message PONG', 'close 1000'], true]);
  raw.drop(1006);
  expect(told).toHaveLength(2);
  expect(clock.waiting).toBe(0);
});

test('a refusal of the whole connection is its reason, and proves nothing', () => {
  const { raw, told, heard } = make();
  raw.open();
  const frame = JSON.stringify({
    id: null,
    error: { message: 'no', code: -32001, data: { reason: 'CONNECTION_LIMIT' } },
  });
  raw.message(frame);
  raw.message('PONG');
  raw.drop(1008, '');
  expect(told).toEqual(['lost CONNECTION_LIMIT']);
  expect(heard).toEqual(['open', `message ${frame}`, 'message PONG', 'close 1008']);
});

test('a refusal that no close follows is one after openTimeoutMs', async () => {
  const { clock, raw, told } = make({ openTimeoutMs: 3_000 });
  raw.open();
  raw.message('{"id":null,"error":{"data":{"reason":"SESSION_REVOKED"}}}');
  raw.message('PONG');
  await clock.advance(3_000);
  expect([told, raw.closed]).toEqual([['lost SESSION_REVOKED'], true]);
});

test("an event that holds a refusal's text is an event", () => {
  const { raw, told } = make();
  raw.open();
  raw.message(
    JSON.stringify({ id: 1, result: { data: { text: '{"id":null,"error":{}}', other: { id: null, error: 1 } } } }),
  );
  expect(told).toEqual(['proven']);
});

test('verify() gives a live connection a shorter time to answer', async () => {
  const { clock, raw, watched, told } = make();
  raw.open();
  raw.message('PONG');
  watched[0]?.verify(5_000);
  raw.message('PONG');
  await clock.advance(5_000);
  expect(told).toEqual(['proven']);
  watched[0]?.verify(5_000);
  await clock.advance(5_000);
  expect(told).toEqual(['proven', 'lost TIMEOUT']);
});

test('move() looks to tRPC as if the server had asked for it', () => {
  const { raw, watched, heard } = make();
  raw.open();
  raw.message('PONG');
  watched[0]?.move();
  expect(heard).toEqual(['open', 'message PONG', 'message {"id":null,"method":"reconnect"}']);
});

test('a binary frame is not passed on: tRPC throws at it', () => {
  const { raw, heard } = make();
  raw.open();
  raw.message(new ArrayBuffer(4));
  expect(heard).toEqual(['open']);
});

test('an error after the handshake waits for the close that has a code, and not for long', async () => {
  const withCode = make();
  withCode.raw.open();
  withCode.raw.onerror?.({});
  withCode.raw.drop(1008, 'SESSION_REVOKED');
  expect(withCode.told).toEqual(['lost SESSION_REVOKED']);
  const without = make();
  without.raw.open();
  without.raw.onerror?.({});
  await without.clock.advance(100);
  expect(without.told).toEqual(['lost NETWORK']);
});

test('a platform without WebSocket is told so at once', () => {
  const given = globalThis.WebSocket;
  try {
    Reflect.deleteProperty(globalThis, 'WebSocket');
    const observer = { proven() {}, lost() {} };
    expect(() => createSocketClass({ base: undefined, observer, clock: createFakeClock() })).toThrow(TypeError);
  } finally {
    globalThis.WebSocket = given;
  }
});
