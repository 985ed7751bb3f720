import { expect, test } from 'bun:test';
import { limits } from '@usher/contracts';
import { type Answer, get, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { onEachServer } from '../wire/each-server.ts';

const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);

onEachServer((server) => {
  /** Publishes what `JSON.stringify` would never write. */
  const publishText = async (body: string): Promise<Answer> => {
    const headers = { authorization: `Bearer ${await publisherToken()}` };
    const response = await fetch(`${server().url}/trpc/topic.publish`, { method: 'POST', headers, body });
    const text = await response.text();
    const { error, result } = JSON.parse(text);
    const refusal = error && { code: error.data.reason, message: error.message, traceId: error.data.traceId };
    return { status: response.status, headers: response.headers, text, data: result?.data, error: refusal };
  };
  const publish = (topic: string, data: string) =>
    publishText(`{"topic":"${topic}","event":{"name":"e","data":${data}}}`);

  test.each([limits.maxJsonDepth + 1, 10_000, 30_000])('a payload of %i levels gets BAD_REQUEST', async (levels) => {
    expectRefusal(await publish('public:deep', nested(levels)), 400, 'BAD_REQUEST');
    expectRefusal(
      await publishText(`{"topic":"public:deep","event":{"name":"e"},"state":${nested(levels)}}`),
      400,
      'BAD_REQUEST',
    );
    await using client = await openRaw(server(), { token: await publisherToken() });
    client.send(
      `{"id":1,"method":"mutation","params":{"path":"topic.publish","input":{"topic":"public:deep","event":{"name":"e","data":${nested(levels)}}}}}`,
    );
    const answer = await client.frame(() => true);
    expect(answer).toMatchObject({ id: 1, error: { data: { reason: 'BAD_REQUEST' } } });
  });

  test(`a payload of ${limits.maxJsonDepth} levels is read as it was published, by every way of reading`, async () => {
    const token = await publisherToken();
    const data = nested(limits.maxJsonDepth);
    expect((await publish('public:as-deep-as-allowed', data)).status).toBe(200);
    const topic = { topic: 'public:as-deep-as-allowed' };
    for (const answer of [
      await query(server(), 'topic.history', topic, { token }),
      await query(server(), 'topic.poll', { ...topic, history: 1 }, { token }),
    ]) {
      expect(answer.text).toContain(`"data":${data}`);
    }
    await using client = await openRaw(server(), { token });
    const { item } = await client.subscribe({ ...topic, history: 1 }).next();
    expect(JSON.stringify(item)).toContain(`"data":${data}`);
  });

  test('a body that is nothing but 500,000 brackets is refused, and the next caller is answered', async () => {
    expectRefusal(await publishText(nested(500_000)), 400, 'BAD_REQUEST');
    const headers = { authorization: `Bearer ${await mintToken()}` };
    const response = await fetch(`${server().url}/ws-ticket`, { method: 'POST', headers, body: nested(500_000) });
    expect(response.status).toBe(400);
    expect((await get(server(), '/healthz')).status).toBe(200);
  });

  test.each([
    ['no colon', 'public'],
    ['no id', 'public:'],
    ['no name', ':a'],
    ['a space', 'public:a b'],
    ['a line break', 'public:a\\nb'],
    ['NUL', 'public:\\u0000'],
    ['DEL', 'public:\\u007f'],
    ['braces', 'public:{a}'],
    ['a pattern', 'public:*'],
    ['capitals in its name', 'Public:a'],
    ['__proto__ for a name', '__proto__:a'],
    ['half a surrogate pair', 'public:\\ud800'],
    ['the halves in the wrong order', 'public:\\udc00\\ud800'],
    ['an id of 257 characters', `public:${'x'.repeat(257)}`],
    ['a name of 65 characters', `${'x'.repeat(65)}:a`],
    ['a no-break space', 'public:\\u00a0'],
  ])('a topic with %s gets BAD_REQUEST', async (_, topic) => {
    expectRefusal(await publish(topic, '{}'), 400, 'BAD_REQUEST');
  });

  test.each(['constructor:a', 'tostring:a', 'nosuch:a', 'announcement:some'])('%s is TOPIC_UNKNOWN', async (topic) => {
    expectRefusal(await publish(topic, '{}'), 404, 'TOPIC_UNKNOWN');
  });

  test.each([
    'public::',
    'public:a:b',
    'public:__proto__',
    'public:é',
    'public:💥',
    'public:a/b?c=d&e#f',
    'public:%00',
  ])('topic %s is a topic of its own', async (topic) => {
    const token = await mintToken();
    expect((await publish(topic, '{"mine":1}')).status).toBe(200);
    const page = await query<{ events: { data: unknown }[] }>(server(), 'topic.history', { topic }, { token });
    expect(page.data?.events.map((event) => event.data)).toEqual([{ mine: 1 }]);
  });

  test('halves of surrogate pairs in keys and owners get BAD_REQUEST, in data they stay what they are', async () => {
    const event = '"event":{"name":"e","data":{"half":"\\ud800"}}';
    for (const more of ['"idempotencyKey":"\\ud800"', '"owner":"\\udfff"']) {
      expectRefusal(await publishText(`{"topic":"job:halves",${event},${more}}`), 400, 'BAD_REQUEST');
    }
    expect((await publishText(`{"topic":"public:halves",${event}}`)).status).toBe(200);
    const page = await query(server(), 'topic.history', { topic: 'public:halves' }, { token: await mintToken() });
    expect(page.text).toContain('"half":"\\ud800"');
  });

  test('keys named after what every object has are data like any other, and pollute nothing', async () => {
    const data = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":"x"}';
    expect((await publish('public:proto', data)).status).toBe(200);
    const page = await query<{ events: unknown[] }>(
      server(),
      'topic.history',
      { topic: 'public:proto' },
      { token: await mintToken() },
    );
    expect(page.text).toContain(`"data":${data}`);
    const started = `{"topic":"job:proto","event":{"name":"job_started","data":${data}}}`;
    expect((await publishText(started)).status).toBe(200);
    expectRefusal(await publishText(`{"__proto__":{"topic":"public:x"},"event":{"name":"e"}}`), 400, 'BAD_REQUEST');
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expectRefusal(
        await publishText(`{"topic":"job:proto","event":{"name":"${name}","data":{}}}`),
        400,
        'BAD_REQUEST',
      );
    }
    const other = await query<{ polluted?: unknown }>(server(), 'health.live', undefined);
    expect(other.data?.polluted).toBeUndefined();
  });

  test.each([
    ['NaN', '{"n":NaN}'],
    ['a trailing comma', '{"n":1,}'],
    ['a comment', '{}//'],
    ['two values', '{}{}'],
    ['a byte order mark inside', '{\\ufeff}'],
  ])('a body with %s is no JSON and gets BAD_REQUEST', async (_, data) => {
    expectRefusal(await publish('public:json', data), 400, 'BAD_REQUEST');
  });

  test('a body that is no UTF-8 is answered, and the next one too', async () => {
    const headers = { authorization: `Bearer ${await publisherToken()}` };
    const body = Buffer.concat([Buffer.from('{"topic":"public:'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    const response = await fetch(`${server().url}/trpc/topic.publish`, { method: 'POST', headers, body });
    expect(response.status).toBe(400);
    expect((await get(server(), '/healthz')).status).toBe(200);
  });

  test('numbers beyond their range get BAD_REQUEST', async () => {
    const token = await mintToken();
    for (const [path, input] of [
      ['topic.history', { topic: 'public:a', limit: 0 }],
      ['topic.history', { topic: 'public:a', limit: 1_001 }],
      ['topic.history', { topic: 'public:a', limit: 1.5 }],
      ['topic.history', { topic: 'public:a', after: '-1-1' }],
      ['topic.history', { topic: 'public:a', before: '99999999999999999-1' }],
      ['topic.poll', { topic: 'public:a', waitMs: 25_001 }],
      ['topic.poll', { topic: 'public:a', waitMs: -1 }],
      ['topic.poll', { topic: 'public:a', history: 1_001 }],
      ['topic.poll', { topic: 'public:a', lastEventId: '1-1~' }],
      ['topic.poll', { topic: 'public:a', lastEventId: `1-1~${'x'.repeat(65)}` }],
      ['topic.poll', { topic: 'public:a', lastEventId: '1-1\n' }],
    ] as const) {
      expectRefusal(await query(server(), path, input, { token }), 400, 'BAD_REQUEST');
    }
  });

  test('positions at the end of their range are only unknown', async () => {
    const token = await mintToken();
    const far = '9999999999999999-9999999999999999';
    const poll = await query<{ items: { item: unknown }[] }>(
      server(),
      'topic.poll',
      { topic: 'public:far', lastEventId: far },
      { token },
    );
    expect(poll.data?.items.map(({ item }) => item)).toMatchObject([{ type: 'reset', reason: 'unknown' }]);
    for (const input of [
      { after: far },
      { before: far },
      { after: '0-0', before: '0-0' },
      { after: far, before: '0-1' },
    ]) {
      expect((await query(server(), 'topic.history', { topic: 'public:far', ...input }, { token })).status).toBe(200);
    }
  });
});
