import { expect, test } from 'bun:test';
import { get, mutate, postTicket, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually, within } from '../harness/wait.ts';
import { onEachServer } from '../wire/each-server.ts';
import { readStream } from './event-stream.ts';

const marker = 'only-for-alice';
const alices = ['job:alices', 'process:alices', 'agent:alices', 'user:alice'] as const;
const events = {
  'job:alices': { name: 'file_completed', data: { file: marker } },
  'process:alices': { name: 'output', data: { stream: 'stdout', data: marker } },
  'agent:alices': { name: 'agent_thinking', data: { text: marker } },
  'user:alice': { name: 'note', data: marker },
} as const;

onEachServer((server) => {
  const publish = async (topic: (typeof alices)[number]): Promise<string> => {
    const input = { topic, event: events[topic], owner: 'alice' };
    const answer = await mutate<{ position: string }>(server(), 'topic.publish', input, {
      token: await publisherToken(),
    });
    if (answer.data === undefined) throw new Error(answer.text);
    return answer.data.position;
  };

  test.each(alices)(
    '%s: nobody else reads it by any procedure, over HTTP, in a batch, over a socket or as a stream',
    async (topic) => {
      const position = await publish(topic);
      const token = await mintToken({ userId: 'bob', topics: ['job:bobs', 'job:alice', 'user:bob'] });
      const reads: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
        ['topic.state', {}],
        ['topic.history', {}],
        ['topic.history', { after: '0-0', limit: 1_000 }],
        ['topic.history', { before: position, reverse: true }],
        ['topic.poll', { history: 1_000 }],
        ['topic.poll', { lastEventId: position, waitMs: 25_000 }],
        ['topic.poll', { lastEventId: `${position}~x`, history: 10 }],
        ['presence.list', {}],
      ];
      const seen: string[] = [];
      for (const [path, more] of reads) {
        for (const answer of [
          await query(server(), path, { topic, ...more }, { token }),
          await mutate(server(), path, { topic, ...more }, { token }),
        ]) {
          expect([answer.status, answer.error?.code]).toEqual([404, 'TOPIC_UNKNOWN']);
          seen.push(answer.text);
        }
      }
      const paths = ['health.live', ...reads.map(([path]) => path)];
      const inputs = Object.fromEntries(reads.map(([, more], at) => [at + 1, { topic, ...more }]));
      const batch = await get(
        server(),
        `/trpc/${paths.join(',')}?batch=1&input=${encodeURIComponent(JSON.stringify(inputs))}`,
        { token },
      );
      expect(
        JSON.parse(batch.text).map((part: { error?: { data: { reason: string } } }) => part.error?.data.reason),
      ).toEqual([undefined, ...reads.map(() => 'TOPIC_UNKNOWN')]);
      seen.push(batch.text);

      await using client = await openRaw(server(), { token });
      for (const [path, more] of reads) {
        expect((await client.query(path, { topic, ...more })).error?.code).toBe('TOPIC_UNKNOWN');
      }
      const refused = [
        client.subscribe({ topic, history: 1_000 }),
        client.subscribe({ topic, presence: true }, { lastEventId: position }),
      ];
      for (const subscription of refused) {
        expect(await subscription.ended()).toMatchObject({ type: 'error', error: { code: 'TOPIC_UNKNOWN' } });
      }
      const stream = await readStream(server(), { topic, history: 10 }, token);
      await stream.until((text) => text.includes('TOPIC_UNKNOWN'));
      await publish(topic);
      // Served after that, in order: had the event gone to Bob, it would have come before.
      expect((await client.query('health.live')).error).toBeUndefined();
      seen.push(JSON.stringify(client.frames), stream.text());
      for (const text of seen) expect(text).not.toContain(marker);
      stream.close();
    },
  );

  test('subscribers of different topics under the same request id see their own events only', async () => {
    const users = Array.from({ length: 5 }, (_, at) => `same-id-${at}`);
    const clients = await Promise.all(
      users.map(async (userId) => openRaw(server(), { token: await mintToken({ userId }) })),
    );
    const subscriptions = clients.map((client, at) => client.subscribe({ topic: `user:${users[at]}` }, { id: 1 }));
    await Promise.all(subscriptions.map((subscription) => subscription.next()));
    const token = await publisherToken();
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        users.map((userId) =>
          mutate(server(), 'topic.publish', { topic: `user:${userId}`, event: { name: 'e', data: userId } }, { token }),
        ),
      );
    }
    for (const [at, subscription] of subscriptions.entries()) {
      await eventually(() => subscription.events.length === 10);
      expect(new Set(subscription.events.map(({ data }) => data))).toEqual(new Set([users[at]]));
    }
    await Promise.all(clients.map((client) => client.close()));
  });

  test("a user's ticket is his: it opens his topics and nobody else's, whatever token comes with it", async () => {
    await publish('user:alice');
    const ticket = (await postTicket(server(), { token: await mintToken({ userId: 'bob' }) })).data?.ticket;
    const headers = { authorization: `Bearer ${await mintToken({ userId: 'alice' })}` };
    await using client = await openRaw(server(), { ...(ticket !== undefined && { ticket }), headers });
    expect((await client.query('topic.poll', { topic: 'user:alice' })).error?.code).toBe('TOPIC_UNKNOWN');
    expect((await client.query('topic.poll', { topic: 'user:bob' })).error).toBeUndefined();
  });

  test('a bound on one user is none on another', async () => {
    const token = await mintToken({ userId: 'greedy' });
    const answers = await Promise.all(Array.from({ length: 70 }, () => postTicket(server(), { token })));
    expect(answers.some(({ status }) => status === 429)).toBe(true);
    expect((await postTicket(server(), { token: await mintToken({ userId: 'modest' }) })).status).toBe(200);
  });

  test('whoever publishes need not read: scope "publish" alone opens no topic', async () => {
    const token = await mintToken({ userId: 'writer', scopes: ['publish'] });
    const published = await mutate(
      server(),
      'topic.publish',
      { topic: 'job:alices', event: events['job:alices'] },
      { token },
    );
    expect(published.status).toBe(200);
    expect((await query(server(), 'topic.history', { topic: 'job:alices' }, { token })).error?.code).toBe(
      'TOPIC_UNKNOWN',
    );
  });

  test('an anonymous caller reads nothing at all', async () => {
    await publish('job:alices');
    for (const path of ['topic.state', 'topic.history', 'topic.poll', 'presence.list', 'connection.list']) {
      const answer = await within(query(server(), path, { topic: 'public:a' }));
      expect([answer.status, answer.error?.code]).toEqual([401, 'UNAUTHORIZED']);
    }
    const stream = await readStream(server(), { topic: 'public:a' }, undefined);
    await stream.until((text) => text.includes('UNAUTHORIZED'));
    stream.close();
  });
});
