import { expect, test } from 'bun:test';
import { mutate, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { adminToken, mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { onEachServer } from '../wire/each-server.ts';
import { readStream } from './event-stream.ts';

onEachServer((server) => {
  const publish = async (topic: string, text: string) =>
    mutate(server(), 'topic.publish', { topic, event: { name: 'e', data: text } }, { token: await publisherToken() });
  const revoke = async (input: { sessionId?: string; userId?: string }) =>
    mutate(server(), 'session.revoke', input, { token: await adminToken() });

  test.concurrent('a stream ends with SESSION_REVOKED when its session is revoked, and tells nothing more', async () => {
    const topic = 'user:streamer';
    const token = await mintToken({ userId: 'streamer', sessionId: 'streamed' });
    const stream = await readStream(server(), { topic }, token);
    await stream.until((text) => text.includes('"type":"snapshot"'));
    await publish(topic, 'before');
    await stream.until((text) => text.includes('before'));
    await revoke({ sessionId: 'streamed' });
    await stream.until((text) => text.includes('SESSION_REVOKED'));
    await eventually(() => stream.isOver());
    await publish(topic, 'afterwards');
    expect(stream.text()).not.toContain('afterwards');
  }, 30_000);

  test.concurrent('a stream ends with TOKEN_EXPIRED when its token ends', async () => {
    const token = await mintToken({ userId: 'short', expiresInSeconds: 2 });
    const stream = await readStream(server(), { topic: 'user:short' }, token);
    await stream.until((text) => text.includes('TOKEN_EXPIRED'));
    await eventually(() => stream.isOver());
    expect(stream.text()).toContain('"type":"snapshot"');
  }, 30_000);

  test.concurrent('a poll that waits is answered with SESSION_REVOKED, and not with what came afterwards', async () => {
    const topic = 'user:poller';
    const token = await mintToken({ userId: 'poller', sessionId: 'polled' });
    const first = await query<{ lastEventId: string }>(server(), 'topic.poll', { topic }, { token });
    const waiting = query(
      server(),
      'topic.poll',
      { topic, waitMs: 25_000, lastEventId: first.data?.lastEventId },
      { token },
    );
    // Answered after the one that waits was taken.
    await query(server(), 'topic.poll', { topic }, { token });
    await revoke({ sessionId: 'polled' });
    expectRefusal(await waiting, 401, 'SESSION_REVOKED');
  }, 30_000);

  test.concurrent('a poll of a token that ends while it waits is answered with TOKEN_EXPIRED', async () => {
    const topic = 'user:brief';
    const token = await mintToken({ userId: 'brief', expiresInSeconds: 2 });
    const first = await query<{ lastEventId: string }>(server(), 'topic.poll', { topic }, { token });
    const input = { topic, waitMs: 25_000, lastEventId: first.data?.lastEventId };
    expectRefusal(await query(server(), 'topic.poll', input, { token }), 401, 'TOKEN_EXPIRED');
  }, 30_000);

  test.concurrent('a user who is revoked loses every session and every older token; a newer one is good', async () => {
    const sessions = ['phone', 'desk'];
    const tokens = await Promise.all(sessions.map((sessionId) => mintToken({ userId: 'lost', sessionId })));
    const clients = await Promise.all(tokens.map((token) => openRaw(server(), { token })));
    await Promise.all(clients.map((client) => client.query('health.live')));
    await revoke({ userId: 'lost' });
    for (const client of clients) expect(await client.closed).toEqual({ code: 1008, reason: 'SESSION_REVOKED' });
    for (const token of tokens) {
      expectRefusal(await query(server(), 'topic.poll', { topic: 'user:lost' }, { token }), 401, 'SESSION_REVOKED');
    }
    const iat = Math.floor(Date.now() / 1_000) + 2;
    const newer = await mintToken({ userId: 'lost', sessionId: 'new', claims: { iat } });
    expect((await query(server(), 'topic.poll', { topic: 'user:lost' }, { token: newer })).status).toBe(200);
  }, 30_000);

  test.concurrent('a connection is asked to renew before its token ends, once, and closed when it has ended', async () => {
    await using client = await openRaw(server(), {
      token: await mintToken({ userId: 'renewed', expiresInSeconds: 4 }),
    });
    expect(await client.closed).toEqual({ code: 1008, reason: 'TOKEN_EXPIRED' });
    expect(client.frames.filter((frame) => typeof frame === 'object' && frame.method === 'reconnect')).toHaveLength(1);
    expect(client.frames.at(-1)).toMatchObject({ id: null, error: { data: { reason: 'TOKEN_EXPIRED' } } });
  }, 30_000);
});
