import { expect, test } from 'bun:test';
import { type AppendRequest, metaTtlFactor } from './log.ts';
import { describeTopicLog, suiteLimits } from './log-behaviour.ts';
import { createMemoryLog } from './memory.ts';

const made: AppendRequest = { entries: [], state: undefined, owner: undefined, mode: 'create' };

describeTopicLog('the log in memory', async () => {
  let at = Date.now();
  const log = createMemoryLog({ ...suiteLimits, now: () => at });
  return {
    log,
    other: log,
    async leftovers(topic) {
      await log.head(topic);
      return log.size === 0 ? [] : ['a topic'];
    },
    async pass(ms) {
      at += ms;
    },
    async setClockBack(topic, ms) {
      at += ms;
      await log.append(topic, made);
      at -= ms;
    },
    async empty() {
      log.clear();
    },
    async settle() {},
  };
});

test('topics whose time is over are removed without being asked for', async () => {
  let at = 1_000;
  const log = createMemoryLog({ ...suiteLimits, now: () => at, sweepIntervalMs: 1 });
  await log.append('job:1', made);
  at += suiteLimits.topicTtlMs * metaTtlFactor;
  while (log.size > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  log.close();
});

test('past maxTopics the one that was written to longest ago goes', async () => {
  const log = createMemoryLog({ ...suiteLimits, maxTopics: 2 });
  await log.append('job:1', made);
  await log.append('job:2', made);
  await log.append('job:1', { ...made, mode: 'publish', entries: [{ tail: '"name":"e"', idempotencyKey: undefined }] });
  await log.append('job:3', made);
  expect(log.size).toBe(2);
  expect((await log.head('job:1')).made).toBe(true);
  expect((await log.head('job:2')).made).toBe(false);
  expect((await log.head('job:3')).made).toBe(true);
  log.close();
});
