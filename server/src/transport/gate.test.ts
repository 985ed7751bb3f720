import { expect, test } from 'bun:test';
import { Gate } from './gate.ts';

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('enter() lets in as many as the gate is wide, and the others in their order', async () => {
  const gate = new Gate(2);
  const inside: string[] = [];
  for (const name of ['a', 'b', 'c', 'd']) void gate.enter().then(() => inside.push(name));
  await settled();
  expect(inside).toEqual(['a', 'b']);
  gate.leave();
  await settled();
  expect(inside).toEqual(['a', 'b', 'c']);
});

test('enter() does not let the light pass the heavy, nor keep out for ever what is heavier than the gate', async () => {
  const gate = new Gate(4);
  const inside: string[] = [];
  const enter = (name: string, weight: number) => void gate.enter(weight).then(() => inside.push(name));
  enter('one', 1);
  enter('huge', 9);
  enter('late', 1);
  await settled();
  expect(inside).toEqual(['one']);
  gate.leave(1);
  await settled();
  expect(inside).toEqual(['one', 'huge']);
  gate.leave(9);
  await settled();
  expect(inside).toEqual(['one', 'huge', 'late']);
});
