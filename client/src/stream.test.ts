import { expect, test } from 'bun:test';
import { settle } from './fake-clock.fixture.ts';
import { createStream } from './stream.ts';

function make(capacity = 4) {
  const told: string[] = [];
  const stream = createStream<number>({
    capacity,
    onFull: () => told.push('full'),
    onRoom: () => told.push('room'),
    onLeave: () => told.push('leave'),
  });
  return { told, stream, reader: stream[Symbol.asyncIterator]() };
}

test('values come in order, whether they wait or the reader does', async () => {
  const { stream, reader } = make();
  stream.push(1);
  stream.push(2);
  expect([(await reader.next()).value, (await reader.next()).value]).toEqual([1, 2]);
  const waiting = reader.next();
  await settle();
  stream.push(3);
  expect((await waiting).value).toBe(3);
});

test('a full buffer says so once, and again when half of it was read', async () => {
  const { told, stream, reader } = make(4);
  for (const n of [1, 2, 3, 4]) stream.push(n);
  expect(told).toEqual(['full']);
  await reader.next();
  await reader.next();
  expect(told).toEqual(['full']);
  await reader.next();
  expect(told).toEqual(['full', 'room']);
});

test('what waits is read before the end, and before the error', async () => {
  const { stream, reader } = make();
  stream.push(1);
  stream.end(new Error('the end'));
  expect((await reader.next()).value).toBe(1);
  expect(await reader.next().catch((error) => error.message)).toBe('the end');
  expect((await reader.next()).done).toBe(true);
});

test('break leaves', async () => {
  const { told, stream } = make();
  stream.push(1);
  for await (const _ of stream) break;
  expect(told).toContain('leave');
});

test('return() ends a next() that waits', async () => {
  const { stream, reader, told } = make();
  const waiting = reader.next();
  await settle();
  const left = reader.return?.(undefined);
  stream.end();
  expect([(await waiting).done, (await left)?.done]).toEqual([true, true]);
  expect(told).toContain('leave');
});
