import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { type Answer, mutate, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import type { Server } from '../harness/server.ts';
import { startServer } from '../harness/server.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { type Pair, startPair } from './pair.ts';

setDefaultTimeout(60_000);

// Of one length, so that an answer may say the topic that was asked for and still be compared.
const secret = 'job:secret';
const absent = 'job:absent';
const procedures = ['topic.state', 'topic.history', 'topic.poll', 'presence.list'] as const;

/** An answer as bytes, without what differs for every request: the trace id, and the topic that was asked for. */
const bare = ({ status, headers, text, error }: Answer, topic: string): string => {
  const named = [...headers].filter(([name]) => !['date', 'x-trace-id', 'traceparent'].includes(name));
  return JSON.stringify([status, named, text.replaceAll(error?.traceId ?? '-', 'T').replaceAll(topic, 'topic')]);
};

describe.each(['memory', 'Redis'] as const)('with %s, another’s topic', (store) => {
  let pair: Pair | undefined;
  let server: Server;
  let other: Server;
  let worker: string;
  let eve: string;
  beforeAll(async () => {
    pair = store === 'Redis' ? await startPair() : undefined;
    server = pair?.a ?? (await startServer());
    other = pair?.b ?? server;
    [worker, eve] = await Promise.all([publisherToken(), mintToken({ userId: 'eve' })]);
    const event = { name: 'job_started', data: {} };
    await mutate(
      server,
      'topic.publish',
      { topic: secret, owner: 'ann', event, state: { status: 'running' } },
      { token: worker },
    );
    await mutate(server, 'topic.publish', { topic: 'user:ann', event }, { token: worker });
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  test.each(procedures)('answers %s as an absent one does, byte for byte, on every instance', async (procedure) => {
    for (const on of [server, other]) {
      const ask = (topic: string) => query(on, procedure, { topic }, { token: eve });
      const [hidden, missing] = [await ask(secret), await ask(absent)];
      expect(hidden.error?.code).toBe('TOPIC_UNKNOWN');
      expect(bare(hidden, secret)).toBe(bare(missing, absent));
      expect(bare(await ask('user:ann'), 'user:ann')).toBe(bare(await ask('user:bob'), 'user:bob'));
    }
  });

  test('answers topic.subscribe as an absent one does, also while its owner listens on the same instance', async () => {
    await using owner = await openRaw(server, { token: await mintToken({ userId: 'ann' }) });
    await owner.subscribe({ topic: secret, presence: true }).next();
    await using client = await openRaw(server, { token: eve });
    const frames = async (topic: string, lastEventId?: string): Promise<string> => {
      const seen = client.frames.length;
      const subscription = client.subscribe(
        { topic },
        { id: 'same', ...(lastEventId !== undefined && { lastEventId }) },
      );
      const end = await subscription.ended();
      expect(end).toMatchObject({ type: 'error', error: { code: 'TOPIC_UNKNOWN' } });
      await client.query('health.live');
      const traceId = end.type === 'error' ? end.error.traceId : '';
      const mine = client.frames.slice(seen).filter((frame) => typeof frame === 'object' && frame.id === 'same');
      return JSON.stringify(mine).replaceAll(traceId, 'T').replaceAll(topic, 'topic');
    };
    expect(await frames(secret)).toBe(await frames(absent));
    expect(await frames(secret, '5-5')).toBe(await frames(absent, '5-5'));
    for (const procedure of procedures) {
      const [hidden, missing] = [
        await client.query(procedure, { topic: secret }),
        await client.query(procedure, { topic: absent }),
      ];
      expect({ ...hidden.error, traceId: '' }).toEqual({ ...missing.error, traceId: '' } as never);
    }
  });

  test('is shown to its owner, and to who was granted it', async () => {
    const granted = await mintToken({ userId: 'carol', topics: ['job:*'] });
    for (const token of [await mintToken({ userId: 'ann' }), granted, worker]) {
      for (const procedure of procedures) {
        expect((await query(other, procedure, { topic: secret }, { token })).status).toBe(200);
      }
    }
  });

  test('is not reached by publishing either, without the scope', async () => {
    const calls = [
      ['topic.publish', { event: { name: 'job_started', data: {} } }],
      ['topic.publishMany', { events: [{ name: 'job_started', data: {} }] }],
      ['topic.create', {}],
      ['topic.close', {}],
      ['topic.delete', {}],
    ] as const;
    for (const [procedure, input] of calls) {
      const ask = (topic: string) => mutate(server, procedure, { topic, ...input }, { token: eve });
      const [hidden, missing] = [await ask(secret), await ask(absent)];
      expect(hidden.error?.code).toBe('FORBIDDEN');
      expect(bare(hidden, secret)).toBe(bare(missing, absent));
    }
  });
});
