import { expect, test } from 'bun:test';
import { createPacer, type PacedSocket } from './pacer.ts';

/** A socket that is behind after each frame until it drains, as one at its limit is. */
function narrowSocket() {
  let drained = Promise.withResolvers<void>();
  const sent: string[] = [];
  const socket: PacedSocket = {
    sendFrame(frame) {
      sent.push(frame);
      return drained.promise;
    },
  };
  return {
    socket,
    sent,
    async drain() {
      drained.resolve();
      drained = Promise.withResolvers<void>();
      for (let n = 0; n < 20; n += 1) await Promise.resolve();
    },
  };
}

test('a hundred replays on one socket send one frame a drain, in the order they came', async () => {
  const pace = createPacer();
  const { socket, sent, drain } = narrowSocket();
  const { signal } = new AbortController();
  const frames = Array.from({ length: 100 }, (_, n) => `frame ${n}`);
  const all = Promise.all(frames.map((frame) => pace(socket, frame, signal)));
  for (let n = 1; n <= 100; n += 1) {
    expect(sent).toHaveLength(n);
    await drain();
  }
  await all;
  expect(sent).toEqual(frames);
});

test('sockets do not wait for each other', () => {
  const pace = createPacer();
  const [one, other] = [narrowSocket(), narrowSocket()];
  const { signal } = new AbortController();
  void pace(one.socket, 'a', signal);
  void pace(other.socket, 'b', signal);
  expect([one.sent, other.sent]).toEqual([['a'], ['b']]);
});

test('a replay that was given up while it waited sends nothing more', async () => {
  const pace = createPacer();
  const { socket, sent, drain } = narrowSocket();
  const { signal } = new AbortController();
  const leaving = new AbortController();
  void pace(socket, 'first', signal);
  const given = pace(socket, 'given up', leaving.signal);
  const next = pace(socket, 'next', signal);
  leaving.abort();
  await drain();
  await drain();
  await Promise.all([given, next]);
  expect(sent).toEqual(['first', 'next']);
});

test('a socket that is not behind makes nobody wait', () => {
  const sent: string[] = [];
  const pace = createPacer();
  const socket: PacedSocket = { sendFrame: (frame) => void sent.push(frame) };
  expect(pace(socket, 'a', new AbortController().signal)).toBeUndefined();
  expect(pace(socket, 'b', new AbortController().signal)).toBeUndefined();
  expect(sent).toEqual(['a', 'b']);
});
