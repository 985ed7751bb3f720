import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { createUsher, type Usher } from '@usher/client';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { type Pair, startPair } from './pair.ts';

setDefaultTimeout(60_000);

let pair: Pair;
let worker: Usher;
let reader: Usher;
beforeAll(async () => {
  pair = await startPair();
  // The worker publishes on one instance, the reader listens on the other.
  worker = createUsher({ url: pair.a.url, token: () => publisherToken() });
  reader = createUsher({ url: pair.b.url, token: () => mintToken({ userId: 'ann' }) });
});
afterAll(async () => {
  worker.close();
  reader.close();
  await pair[Symbol.asyncDispose]();
});

test('the five events of an agent arrive typed on another instance', async () => {
  const run = worker.topic('agent', 'run-9');
  await run.create({ owner: 'ann', state: { status: 'queued' } });
  const told: string[] = [];
  const subscription = reader.topic('agent', 'run-9').subscribe({
    onItem(item) {
      if (item.type !== 'event') return void told.push(item.type);
      const { event } = item;
      // Each branch reads what only this event has, as the compiler knows.
      switch (event.name) {
        case 'agent_started':
          return void told.push(event.name);
        case 'agent_thinking':
          return void told.push(`${event.name} ${event.data.text?.toUpperCase()}`);
        case 'tool_executing':
          return void told.push(`${event.name} ${event.data.tool.toUpperCase()} ${JSON.stringify(event.data.input)}`);
        case 'tool_completed':
          return void told.push(`${event.name} ${event.data.tool} ${event.data.durationMs?.toFixed(1)}`);
        case 'agent_completed':
          return void told.push(`${event.name} ${JSON.stringify(event.data.result)}`);
      }
    },
  });
  await eventually(() => told.includes('snapshot'));
  await run.publish('agent_started', {});
  await run.publish('agent_thinking', { text: 'hm' });
  await run.publish('tool_executing', { tool: 'search', input: { q: 'x' } });
  await run.publish('tool_completed', { tool: 'search', output: [1], durationMs: 12 });
  await run.publish('agent_completed', { result: { ok: true } });
  await eventually(() => told.includes('closed'));
  expect(told).toEqual([
    'snapshot',
    'agent_started',
    'agent_thinking HM',
    'tool_executing SEARCH {"q":"x"}',
    'tool_completed search 12.0',
    'agent_completed {"ok":true}',
    'closed',
  ]);
  expect(subscription.view.status).toBe('closed');
});

test('the six events of a job arrive typed on another instance', async () => {
  const job = worker.topic('job', '42');
  await job.create({ owner: 'ann', state: { status: 'pending' } });
  const told: string[] = [];
  reader.topic('job', '42').subscribe({
    onItem(item) {
      if (item.type !== 'event') return void told.push(item.type);
      const { event } = item;
      switch (event.name) {
        case 'job_started':
          return void told.push(`${event.name} ${event.data.totalFiles?.toFixed(0)}`);
        case 'file_processing':
          return void told.push(`${event.name} ${event.data.file.length} ${event.data.index}/${event.data.total}`);
        case 'file_completed':
          return void told.push(`${event.name} ${event.data.file.toUpperCase()}`);
        case 'error':
          return void told.push(`${event.name} ${event.data.message.toUpperCase()} ${event.data.file}`);
        case 'job_failed':
          return void told.push(`${event.name} ${event.data.message}`);
        case 'job_completed':
          return void told.push(event.name);
      }
    },
  });
  await eventually(() => told.includes('snapshot'));
  await job.publish('job_started', { totalFiles: 2 }, { state: { status: 'running', progress: 0 } });
  await job.publishMany([
    { name: 'file_processing', data: { file: 'a.pdf', index: 1, total: 2 } },
    { name: 'file_completed', data: { file: 'a.pdf' } },
    { name: 'error', data: { message: 'broken', file: 'b.pdf' } },
  ]);
  await job.publish('job_completed', {}, { state: { status: 'completed', progress: 1 } });
  await eventually(() => told.includes('closed'));
  expect(told).toEqual([
    'snapshot',
    'job_started 2',
    'file_processing 5 1/2',
    'file_completed A.PDF',
    'error BROKEN b.pdf',
    'job_completed',
    'closed',
  ]);

  const failing = worker.topic('job', '43');
  await failing.create({ owner: 'ann' });
  const ends: string[] = [];
  reader.topic('job', '43').subscribe({
    onItem: (item) => {
      if (item.type === 'event' && item.event.name === 'job_failed') ends.push(item.event.data.message);
      if (item.type === 'snapshot' || item.type === 'closed') ends.push(item.type);
    },
  });
  await eventually(() => ends.length === 1);
  await failing.publish('job_failed', { message: 'no' });
  await eventually(() => ends.length === 3);
  expect(ends).toEqual(['snapshot', 'no', 'closed']);
});
