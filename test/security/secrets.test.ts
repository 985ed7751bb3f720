import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { type Answer, get, mutate, postTicket, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { startServer } from '../harness/server.ts';
import { adminToken, mintToken, publisherToken, testSecret } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually } from '../harness/wait.ts';
import { isReady } from '../wire/each-server.ts';

const planted = {
  apiKey: 'planted-api-key-0123456789',
  metricsToken: 'planted-metrics-token-0123456789',
  redisPassword: 'planted-redis-password',
  wrongPassword: 'planted-wrong-password',
  nonce: 'planted-nonce-of-a-client',
};

test.each(['bun', 'deno'] as const)(
  'no secret stands in any answer or in the log of a whole life on %s, whatever went wrong',
  async (runtime) => {
    await using redis = await startRedis();
    await redis.command('CONFIG', 'SET', 'requirepass', planted.redisPassword);
    const env = {
      LOG_LEVEL: 'trace',
      METRICS_TOKEN: planted.metricsToken,
      JWT_COOKIE: 'session',
      API_KEYS: JSON.stringify([
        {
          id: 'k',
          sha256: createHash('sha256').update(planted.apiKey).digest('hex'),
          userId: 'keyed',
          scopes: ['publish'],
        },
      ]),
    };
    const urlWith = (password: string) => `redis://:${password}@127.0.0.1:${redis.port}`;
    await using server = await startServer({ runtime, env: { ...env, REDIS_URL: urlWith(planted.redisPassword) } });
    await using lost = await startServer({ runtime, env: { ...env, REDIS_URL: urlWith(planted.wrongPassword) } });
    await isReady(server);

    const tokens = await Promise.all([
      mintToken(),
      publisherToken(),
      adminToken(),
      mintToken({ expiresInSeconds: -5 }),
    ]);
    const [reader, publisher, admin, expired] = tokens as [string, string, string, string];
    const binding = createHash('sha256').update(planted.nonce).digest('hex');
    const tickets: string[] = [];
    const issue = async (body?: string): Promise<string> => {
      const ticket =
        (await postTicket(server, { token: reader, ...(body !== undefined && { body }) })).data?.ticket ?? '';
      tickets.push(ticket);
      return ticket;
    };
    const answers: Answer[] = [];
    const keep = async (answer: Promise<Answer>): Promise<void> => void answers.push(await answer);

    // Good ways.
    await using one = await openRaw(server, { ticket: await issue() });
    await one.query('topic.poll', { topic: 'user:alice' });
    await using two = await openRaw(server, { connectionParams: { ticket: await issue(), token: reader } });
    await two.query('health.live');
    await using three = await openRaw(server, {
      connectionParams: { ticket: await issue(JSON.stringify({ binding })), nonce: planted.nonce },
    });
    await three.query('health.live');
    await keep(get(server, '/metrics', { token: planted.metricsToken }));
    await keep(mutate(server, 'topic.publish', { topic: 'public:a', event: { name: 'e' } }, { token: planted.apiKey }));

    // Wrong ways, each with something secret in a place where it might be quoted.
    await keep(tryUpgrade(server, `/trpc?ticket=${tickets[0]}`));
    await keep(tryUpgrade(server, `/nowhere?ticket=${await issue()}`));
    await keep(tryUpgrade(server, `/trpc?ticket=${await issue()}&ticket=${await issue()}`));
    await keep(tryUpgrade(server, `/trpc?%74icket=${await issue()}x`));
    await keep(get(server, `/trpc/health.live?ticket=${await issue()}&input=%7B`));
    await keep(get(server, `/trpc/${await issue()}?token=${reader}`));
    await keep(get(server, `/${reader}`));
    await keep(get(server, '/metrics', { token: `${planted.metricsToken}x` }));
    await keep(postTicket(server, { token: expired }));
    await keep(postTicket(server, { token: `${reader}x` }));
    await keep(postTicket(server, { headers: { authorization: reader } }));
    await keep(postTicket(server, { headers: { cookie: `session=${reader}`, origin: 'https://evil.example' } }));
    await keep(postTicket(server, { token: reader, body: `{"binding":"${reader}"}` }));
    await keep(postTicket(server, { token: reader, body: reader, headers: { 'x-trace-id': reader.slice(0, 60) } }));
    await keep(query(server, 'topic.state', { topic: `job:${tickets[0]}` }, { token: reader }));
    await keep(mutate(server, 'topic.publish', { topic: 'job:1', event: { name: reader } }, { token: publisher }));
    one.send(`{"ticket":"${tickets[0]}","token":"${reader}"`);
    one.send(JSON.stringify({ id: 9, method: 'query', params: { path: tickets[0], input: { token: reader } } }));
    await one.frame((frame) => typeof frame === 'object' && frame.id === 9);
    await using thief = await openRaw(server, { connectionParams: { ticket: tickets[0], nonce: planted.nonce } });
    await thief.closed;
    await keep(mutate(server, 'session.revoke', { sessionId: 'session-of-alice' }, { token: admin }));
    await keep(postTicket(lost, { token: reader }));
    await keep(mutate(lost, 'topic.publish', { topic: 'public:a', event: { name: 'e' } }, { token: publisher }));
    await eventually(() => lost.logs().some(({ msg }) => msg.includes('away')), { what: 'the lost server to say so' });
    await server.stop({ timeoutMs: 40_000 });

    const secrets = [
      ...tickets.map((ticket) => ticket.slice(4)),
      ...tokens.map((token) => token.split('.')[2] ?? ''),
      testSecret,
    ];
    const logs = [...server.lines, ...lost.lines].join('\n');
    const told = answers.map(({ text, headers }) => `${text}\n${JSON.stringify([...headers])}`).join('\n');
    for (const secret of [...secrets, ...Object.values(planted)]) expect(logs.includes(secret), secret).toBe(false);
    // What a caller himself put into a path or a name is his to see again; nothing else is.
    for (const secret of [testSecret, ...Object.values(planted)]) expect(told.includes(secret), secret).toBe(false);
    expect(told).not.toMatch(/\.ts:\d+|node_modules|at async /);
    expect(logs.length).toBeGreaterThan(1_000);
  },
  60_000,
);
