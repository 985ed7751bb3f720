import { describe, expect, test } from 'bun:test';
import type { Code } from '@usher/contracts';
import { type Answer, mutate, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { onEachServer } from './each-server.ts';

const position = expect.stringMatching(/^\d+-\d+$/);

onEachServer((server) => {
  const call = async <T>(path: string, input: unknown): Promise<Answer<T>> =>
    mutate<T>(server(), path, input, { token: await publisherToken() });
  const ask = async <T>(path: string, input: unknown, userId = 'worker'): Promise<Answer<T>> =>
    query<T>(server(), path, input, {
      token: userId === 'worker' ? await publisherToken() : await mintToken({ userId }),
    });
  /** The whole answer, so that a field more or less is seen. */
  const dataOf = ({ text }: Answer): unknown => JSON.parse(text).result?.data;

  describe('topic.create', () => {
    test('makes a topic once, with its owner and state, before the first event', async () => {
      const input = { topic: 'job:create', owner: 'ada', state: { status: 'pending' } };
      const created = await call<{ position: string }>('topic.create', input);
      expect(dataOf(created)).toEqual({ position, created: true });
      expect(dataOf(await call('topic.create', { ...input, state: { status: 'failed' } }))).toEqual({
        position: created.data?.position,
        created: false,
      });
      expect(dataOf(await ask('topic.state', { topic: 'job:create' }, 'ada'))).toEqual({
        position: created.data?.position,
        state: { status: 'pending' },
      });
    });
  });

  describe('topic.delete', () => {
    test('leaves nothing, and tells whether there was something', async () => {
      const topic = 'job:delete';
      const published = { topic, event: { name: 'job_started' }, owner: 'ada', idempotencyKey: 'k' };
      await call('topic.publish', published);
      expect(dataOf(await call('topic.delete', { topic }))).toEqual({ deleted: true });
      expect(dataOf(await call('topic.delete', { topic }))).toEqual({ deleted: false });
      expectRefusal(await ask('topic.state', { topic }), 404, 'TOPIC_UNKNOWN');
      expect(dataOf(await call('topic.publish', { ...published, owner: 'bob' }))).toMatchObject({ duplicate: false });
    });
  });

  describe('topic.publish', () => {
    test('answers where the event stands; data may be left out', async () => {
      const answer = await call('topic.publish', { topic: 'job:publish', event: { name: 'job_started' } });
      expect(dataOf(answer)).toEqual({ position, durable: true, duplicate: false });
    });

    test('appends once for one idempotency key, and answers the same position again', async () => {
      const input = { topic: 'public:once', event: { name: 'e', data: 1 }, idempotencyKey: 'key-1' };
      const first = await call<{ position: string }>('topic.publish', input);
      const second = await call('topic.publish', { ...input, event: { name: 'e', data: 2 } });
      expect(dataOf(second)).toEqual({ position: first.data?.position, durable: true, duplicate: true });
      const other = await call('topic.publish', { ...input, idempotencyKey: 'key-2' });
      expect(dataOf(other)).toMatchObject({ duplicate: false });
      const elsewhere = await call('topic.publish', { ...input, topic: 'public:once-more' });
      expect(dataOf(elsewhere)).toMatchObject({ duplicate: false });
    });

    test('sets the state with the event, and leaves it where none is given', async () => {
      const topic = 'process:state';
      const state = { status: 'running', more: [1, { deep: null }] };
      await call('topic.publish', { topic, event: { name: 'status', data: { status: 'running' } }, state });
      const last = await call<{ position: string }>('topic.publish', {
        topic,
        event: { name: 'output', data: { stream: 'stdout', data: 'x' } },
      });
      expect(dataOf(await ask('topic.state', { topic }))).toEqual({ position: last.data?.position, state });
    });

    test('the first publish may name the owner; another owner is refused', async () => {
      const topic = 'job:owned';
      await call('topic.publish', { topic, event: { name: 'job_started' }, owner: 'ada' });
      expect((await ask('topic.state', { topic }, 'ada')).status).toBe(200);
      expectRefusal(await ask('topic.state', { topic }, 'bob'), 404, 'TOPIC_UNKNOWN');
      const taken = await call('topic.publish', { topic, event: { name: 'job_started' }, owner: 'bob' });
      expectRefusal(taken, 400, 'BAD_REQUEST');
      expect((await ask('topic.state', { topic }, 'ada')).status).toBe(200);
    });

    test.each([
      ['job', 'job_started', {}],
      ['job', 'job_started', { totalFiles: 3, more: 'passes' }],
      ['job', 'file_processing', { file: 'a', index: 0, total: 2 }],
      ['job', 'file_completed', { file: 'a' }],
      ['job', 'error', { message: 'm', file: 'a' }],
      ['process', 'output', { stream: 'stderr', data: '' }],
      ['process', 'status', { status: 'exited', exitCode: 0 }],
      ['process', 'status', { status: 'killed', exitCode: null }],
      ['agent', 'agent_started', {}],
      ['agent', 'agent_thinking', { text: 't' }],
      ['agent', 'agent_thinking', {}],
      ['agent', 'tool_executing', { tool: 't', input: { any: [1] } }],
      ['agent', 'tool_completed', { tool: 't', output: null, durationMs: 1.5 }],
      ['user', 'whatever', [1, 2]],
      ['public', 'any name at all', null],
      ['announcement', 'x', 'text'],
    ])('%s takes %s with %j as it is', async (name, event, data) => {
      const topic = name === 'announcement' ? 'announcement:all' : `${name}:takes-${event.replaceAll(' ', '-')}`;
      await call('topic.publish', { topic, event: { name: event, data } });
      const page = await ask<{ events: { name: string; data: unknown }[] }>('topic.history', {
        topic,
        limit: 1,
        reverse: true,
      });
      expect(page.data?.events[0]).toEqual({ position, at: expect.any(Number), name: event, data } as never);
    });

    test.each([
      ['job:wrong', 'job_stopped', {}],
      ['job:wrong', 'job_started', { totalFiles: '3' }],
      ['job:wrong', 'job_started', null],
      ['job:wrong', 'job_started', []],
      ['job:wrong', 'file_processing', {}],
      ['job:wrong', 'error', { message: 7 }],
      ['job:wrong', 'job_failed', {}],
      ['process:wrong', 'output', { stream: 'stdin', data: '' }],
      ['process:wrong', 'status', { status: 'gone' }],
      ['agent:wrong', 'tool_executing', {}],
      ['agent:wrong', 'tool_completed', { tool: 't', durationMs: 'long' }],
    ])('%s refuses %s with %j', async (topic, event, data) => {
      const { issues } = expectRefusal(
        await call('topic.publish', { topic, event: { name: event, data } }),
        400,
        'BAD_REQUEST',
      );
      expect(issues?.length).toBeGreaterThan(0);
      for (const issue of issues ?? []) expect(issue.path).toStartWith('event.');
    });

    test.each([
      [{ status: 'paused' }, 'state.status'],
      [{ status: 'running', progress: 'half' }, 'state.progress'],
      [{}, 'state.status'],
      ['running', 'state'],
    ])('refuses the job state %j', async (state, path) => {
      const input = { topic: 'job:states', event: { name: 'job_started' }, state };
      const { issues } = expectRefusal(await call('topic.publish', input), 400, 'BAD_REQUEST');
      expect(issues?.map((issue) => issue.path)).toContain(path);
    });
  });

  describe('topic.publishMany', () => {
    test('answers for each event, in order, duplicates among them', async () => {
      const topic = 'public:many';
      const event = (n: number, idempotencyKey?: string) => ({ name: 'e', data: { n }, idempotencyKey });
      const first = await call<{ positions: string[] }>('topic.publishMany', {
        topic,
        events: [event(1, 'a'), event(2)],
        state: 's',
      });
      expect(dataOf(first)).toEqual({ positions: [position, position], durable: true, duplicates: [false, false] });
      const second = await call('topic.publishMany', {
        topic,
        events: [event(3, 'a'), event(4), event(5, 'b'), event(6, 'b')],
      });
      const { positions, duplicates } = dataOf(second) as { positions: string[]; duplicates: boolean[] };
      expect(duplicates).toEqual([true, false, false, true]);
      expect(positions[0]).toBe(first.data?.positions[0] as string);
      expect(positions[3]).toBe(positions[2] as string);
      const page = await ask<{ events: { data: { n: number } }[] }>('topic.history', { topic });
      expect(page.data?.events.map(({ data }) => data.n)).toEqual([1, 2, 4, 5]);
      expect((await ask<{ state: unknown }>('topic.state', { topic })).data?.state).toBe('s');
    });

    test('is all or nothing: one wrong event, and none is appended', async () => {
      const topic = 'job:all-or-nothing';
      const events = [{ name: 'job_started' }, { name: 'nonsense' }];
      const { issues } = expectRefusal(await call('topic.publishMany', { topic, events }), 400, 'BAD_REQUEST');
      expect(issues?.[0]?.path).toBe('events.1.name');
      expectRefusal(await ask('topic.history', { topic }), 404, 'TOPIC_UNKNOWN');
    });

    test.each([0, 1_001])('%i events are refused', async (count) => {
      const events = Array.from({ length: count }, () => ({ name: 'e' }));
      expectRefusal(await call('topic.publishMany', { topic: 'public:count', events }), 400, 'BAD_REQUEST');
    });

    test('1,000 events are taken', async () => {
      const events = Array.from({ length: 1_000 }, (_, n) => ({ name: 'e', data: n }));
      const token = await publisherToken({ userId: 'bulk' });
      const answer = await mutate<{ positions: string[] }>(
        server(),
        'topic.publishMany',
        { topic: 'public:bulk', events },
        { token },
      );
      expect(new Set(answer.data?.positions).size).toBe(1_000);
    });
  });

  describe('topic.close', () => {
    test('appends a last event and state; then publishing is TOPIC_CLOSED and reading goes on', async () => {
      const topic = 'process:close';
      await call('topic.publish', { topic, event: { name: 'output', data: { stream: 'stdout', data: 'x' } } });
      const event = { name: 'status', data: { status: 'exited', exitCode: 1 } };
      const closed = await call<{ position: string }>('topic.close', {
        topic,
        event,
        state: { status: 'exited', exitCode: 1 },
      });
      expect(dataOf(closed)).toEqual({ position });
      expectRefusal(await call('topic.publish', { topic, event }), 409, 'TOPIC_CLOSED');
      expectRefusal(await call('topic.close', { topic }), 409, 'TOPIC_CLOSED');
      expect(dataOf(await ask('topic.state', { topic }))).toEqual({
        position: closed.data?.position,
        state: { status: 'exited', exitCode: 1 },
      });
      expect((await ask<{ events: unknown[] }>('topic.history', { topic })).data?.events).toHaveLength(2);
    });

    test('a topic nobody made is TOPIC_UNKNOWN', async () => {
      expectRefusal(await call('topic.close', { topic: 'job:never' }), 404, 'TOPIC_UNKNOWN');
    });

    test.each([
      ['job_completed', {}],
      ['job_failed', { message: 'm' }],
    ])('%s closes a job by itself; its repetition with the same key is a duplicate', async (name, data) => {
      const input = { topic: `job:ends-with-${name}`, event: { name, data }, idempotencyKey: 'last' };
      await call('topic.publish', input);
      expectRefusal(
        await call('topic.publish', { topic: input.topic, event: { name: 'job_started' } }),
        409,
        'TOPIC_CLOSED',
      );
      expect(dataOf(await call('topic.publish', input))).toMatchObject({ duplicate: true, durable: true });
    });
  });

  describe('who may read', () => {
    const readings = [
      ['topic.state', {}],
      ['topic.history', {}],
      ['topic.poll', {}],
      ['presence.list', {}],
    ] as const;
    const read = async (topic: string, token: string): Promise<Record<string, number | Code | undefined>> => {
      const results: Record<string, number | Code | undefined> = {};
      for (const [path, more] of readings) {
        const answer = await query(server(), path, { topic, ...more }, { token });
        results[path] = answer.error?.code ?? answer.status;
      }
      await using client = await openRaw(server(), { token });
      const subscription = client.subscribe({ topic });
      await eventually(() => subscription.items.length > 0 || subscription.end !== undefined);
      results.subscribe = subscription.end?.type === 'error' ? subscription.end.error.code : 200;
      return results;
    };
    const all = (result: number | Code) => ({
      'topic.state': result,
      'topic.history': result,
      'topic.poll': result,
      'presence.list': result,
      subscribe: result,
    });

    test.each([
      ['the owner', 'job:read', { userId: 'owner' }, 200],
      ['another user', 'job:read', { userId: 'other' }, 'TOPIC_UNKNOWN'],
      ['a user whose name begins alike', 'job:read', { userId: 'owner2' }, 'TOPIC_UNKNOWN'],
      ['a grant of the topic', 'job:read', { userId: 'other', topics: ['job:read'] }, 200],
      ['a grant of the kind', 'job:read', { userId: 'other', topics: ['job:*'] }, 200],
      ['a grant of all', 'job:read', { userId: 'other', topics: ['*'] }, 200],
      [
        'a grant of another topic',
        'job:read',
        { userId: 'other', topics: ['job:rea', 'job:reads', 'process:*'] },
        'TOPIC_UNKNOWN',
      ],
      ['scope publish alone', 'job:read', { userId: 'other', scopes: ['publish'] }, 'TOPIC_UNKNOWN'],
      ['scope admin alone', 'job:read', { userId: 'other', scopes: ['admin'] }, 'TOPIC_UNKNOWN'],
      ['the user himself', 'user:reader', { userId: 'reader' }, 200],
      ['somebody else', 'user:reader', { userId: 'other' }, 'TOPIC_UNKNOWN'],
      ['everybody', 'public:read', { userId: 'other' }, 200],
      ['everybody', 'announcement:all', { userId: 'other' }, 200],
      ['anybody', 'announcement:else', { userId: 'other' }, 'TOPIC_UNKNOWN'],
      ['anybody', 'nosuch:read', { userId: 'other', topics: ['*'] }, 'TOPIC_UNKNOWN'],
    ] as const)('%s of %s', async (_, topic, caller, result) => {
      const event = { name: 'e', data: {} };
      await call('topic.publish', { topic: 'job:read', event: { name: 'job_started' }, owner: 'owner' });
      for (const open of ['user:reader', 'public:read', 'announcement:all'])
        await call('topic.publish', { topic: open, event });
      expect(
        await read(topic, await mintToken({ ...caller, topics: 'topics' in caller ? [...caller.topics] : [] })),
      ).toEqual(all(result));
    });

    test("another's topic and one that is not there give the same answer, but for the trace id", async () => {
      await call('topic.publish', { topic: 'job:there', event: { name: 'job_started' }, owner: 'ada' });
      for (const [path] of readings) {
        const texts: string[] = [];
        for (const topic of ['job:there', 'job:nowhere']) {
          const { text, error } = await ask(path, { topic }, 'bob');
          texts.push(text.replace(error?.traceId ?? '', ''));
        }
        expect(texts[0]).toBe(texts[1] as string);
        expect(texts[0]).toContain('TOPIC_UNKNOWN');
      }
    });
  });

  test.each([
    ['topic.create', { topic: 'public:scope' }],
    ['topic.delete', { topic: 'public:scope' }],
    ['topic.publish', { topic: 'public:scope', event: { name: 'e' } }],
    ['topic.publishMany', { topic: 'public:scope', events: [{ name: 'e' }] }],
    ['topic.close', { topic: 'public:scope' }],
  ])('%s needs scope "publish"', async (path, input) => {
    for (const scopes of [[], ['admin'], ['Publish'], ['publish:job']]) {
      const answer = await mutate(server(), path, input, { token: await mintToken({ scopes, topics: ['*'] }) });
      expectRefusal(answer, 403, 'FORBIDDEN');
    }
    expectRefusal(await mutate(server(), path, input), 401, 'UNAUTHORIZED');
    const allowed = await mutate(server(), path, input, { token: await mintToken({ scopes: ['other', 'publish'] }) });
    expect(allowed.error?.code).not.toBe('FORBIDDEN');
  });
});
