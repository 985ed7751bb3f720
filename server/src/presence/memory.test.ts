import { expect, test } from 'bun:test';
import { createMemoryPresence } from './memory.ts';
import { describePresenceStore } from './store-behaviour.ts';

describePresenceStore('the presence store in memory', (limits) => {
  let clock = 1_000_000;
  const store = createMemoryPresence({ ...limits, now: () => clock });
  return {
    store,
    other: store,
    elapse: async (ms) => {
      clock += ms;
    },
  };
});

test('a topic that nobody asks about any more is told of, and gone, when others are prolonged', async () => {
  let clock = 0;
  const told: string[] = [];
  const store = createMemoryPresence({
    leaseMs: 100,
    now: () => clock,
    notify: (topic, change) => told.push(`${topic} ${change}`),
  });
  await store.hold('job:forgotten', [{ connectionId: 'a', userId: 'ann', since: 0 }]);
  clock = 100;
  await store.hold('job:other', []);
  expect(told).toEqual([
    'job:forgotten {"joined":[{"userId":"ann","connections":1,"since":0}],"left":[]}',
    'job:forgotten {"joined":[],"left":[{"userId":"ann","connections":0,"since":0}]}',
  ]);
});
