import { expect, test } from 'bun:test';
import { ItemQueue } from './item-queue.ts';

const item = (n: number, json = '{}') => ({ id: String(n), json });
const roomy = { maxItems: 1_000, maxBytes: 1_000_000 };

test('next() gives in order, waits for what is to come, and ends', async () => {
  const queue = new ItemQueue(roomy);
  const waiting = queue.next();
  queue.push(item(1));
  queue.push(item(2));
  expect((await waiting)?.id).toBe('1');
  expect((await queue.next())?.id).toBe('2');
  const end = queue.next();
  queue.end();
  expect(await end).toBeUndefined();
});

test('what was there before a failure is given before it', async () => {
  const queue = new ItemQueue(roomy);
  queue.push(item(1));
  queue.end(new Error('slow'));
  queue.push(item(2));
  expect((await queue.next())?.id).toBe('1');
  await expect(queue.next()).rejects.toThrow('slow');
});

test('is full at its number of items, and at its number of bytes', () => {
  const few = new ItemQueue({ maxItems: 2, maxBytes: 1_000 });
  few.push(item(1));
  expect(few.isFull).toBe(false);
  few.push(item(2));
  expect(few.isFull).toBe(true);
  const small = new ItemQueue({ maxItems: 100, maxBytes: 20 });
  small.push(item(1, 'ä'.repeat(9)));
  expect(small.isFull).toBe(false);
  small.push(item(2, 'ä'));
  expect(small.isFull).toBe(true);
});

test('room() makes the one who brings wait past half, until a quarter is left', async () => {
  const queue = new ItemQueue({ maxItems: 8, maxBytes: 1_000 });
  for (let n = 1; n <= 4; n += 1) {
    queue.push(item(n));
    expect(queue.room()).toBeUndefined();
  }
  queue.push(item(5));
  let hasRoom = false;
  const room = (queue.room() as Promise<void>).then(() => {
    hasRoom = true;
  });
  await queue.next();
  await queue.next();
  expect(hasRoom).toBe(false);
  await queue.next();
  await room;
  expect(hasRoom).toBe(true);
});

test('end() lets go of the one who waits for room', async () => {
  const queue = new ItemQueue({ maxItems: 1, maxBytes: 1_000 });
  queue.push(item(1));
  const room = queue.room();
  queue.end();
  await room;
  expect(queue.room()).toBeUndefined();
});
