import { describe, expect, test } from 'bun:test';
import { get, postTicket } from '../harness/http.ts';
import { startProxy } from '../harness/proxy.ts';
import { openRaw } from '../harness/raw-client.ts';
import { startRedis } from '../harness/redis.ts';
import { expectRefusal } from '../harness/refusal.ts';
import { mintToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually } from '../harness/wait.ts';
import { opens, passes, startInstance, startReady, Tickets } from './fleet.ts';
import { tryTicket } from './handshake.ts';

describe.each(['bun', 'deno'] as const)('Redis absent at boot, on %s', (runtime) => {
  test('tickets are refused at once in the words of the wire, and given out when Redis has arrived', async () => {
    await using redis = await startRedis();
    await redis.kill();
    await using server = await startInstance({ REDIS_URL: redis.url }, { runtime });
    const token = await mintToken({ sessionId: 'session-at-boot' });

    const answer = await postTicket(server, { token, headers: { 'x-trace-id': 'trace-at-boot' } });
    const message = 'WebSocket ticket service temporarily unavailable - Redis not ready';
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text)).toMatchObject({
      error: 'SERVICE_UNAVAILABLE',
      code: 'WS_TICKET_REDIS_NOT_READY',
      message,
      traceId: 'trace-at-boot',
    });
    const line = await server.log(({ msg }) => msg === '[WSTicket] Redis client not available');
    expect(line).toMatchObject({ traceId: 'trace-at-boot', sessionId: 'session-at-boot' });
    expectRefusal(await tryUpgrade(server, `/trpc?ticket=ut1_${'A'.repeat(43)}`), 503, 'WS_TICKET_REDIS_NOT_READY');

    const ready = await get<{ status: string; checks: { redis: { ok: boolean } } }>(server, '/readyz');
    expect([ready.status, ready.data?.status, ready.data?.checks.redis.ok]).toEqual([503, 'unavailable', false]);
    expect((await get(server, '/healthz')).status).toBe(200);

    await redis.start();
    await eventually(async () => (await get(server, '/readyz')).status === 200, {
      what: 'the server to heal by itself',
    });
    const tickets = new Tickets();
    const ticket = await tickets.issue(server, 'arrived');
    expect(await tryTicket(server, ticket)).toEqual({ served: true });
    tickets.expectUnseen([server]);
    expect(server.logs().filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
  }, 40_000);
});

test('a Redis that answers nothing is told within the budget of a ticket, and healed from', async () => {
  await using redis = await startRedis();
  await using server = await startReady({ REDIS_URL: redis.url });
  const token = await mintToken();
  redis.freeze();
  expectRefusal(await postTicket(server, { token }), 503, 'WS_TICKET_REDIS_NOT_READY');
  redis.thaw();
  await eventually(async () => (await postTicket(server, { token })).status === 200, { what: 'tickets again' });
});

describe('Redis gone between the pass and the claim', () => {
  /** An instance whose claim is held up until the test has seen the upgrade. */
  const stand = async () => {
    const redis = await startRedis();
    const proxy = await startProxy(redis.port);
    const [cut, other] = await Promise.all([
      startReady({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` }),
      startReady({ REDIS_URL: redis.url }),
    ]);
    const tickets = new Tickets();
    return {
      redis,
      proxy,
      cut,
      other,
      tickets,
      async [Symbol.asyncDispose]() {
        tickets.expectUnseen([cut, other]);
        await Promise.all([cut.kill(), other.kill()]);
        await proxy[Symbol.asyncDispose]();
        await redis[Symbol.asyncDispose]();
      },
    };
  };

  test('the instance that passed the ticket serves it unclaimed, once; and claims it when Redis is back', async () => {
    await using it = await stand();
    const { cut, other, proxy } = it;
    const ticket = await it.tickets.issue(other, 'unclaimed');
    proxy.delay(150, 'up');
    await using client = await openRaw(cut, { ticket });
    // The upgrade is seen: the pass is done, and the claim is still on its way.
    proxy.cut();
    expect((await client.query('health.live')).error).toBeUndefined();
    expect(await opens(cut)).toEqual({ unclaimed: 1 });
    await cut.log(({ msg }) => msg === 'Ticket opened unclaimed: Redis went away after the pass');
    // Here it is spent, whatever Redis knows.
    expect(await tryTicket(cut, ticket)).toMatchObject({ served: false, status: 401, reason: 'TICKET_INVALID' });

    proxy.pass();
    await cut.log(({ msg }) => msg === 'Ticket claimed after the fact');
    expect(await tryTicket(other, ticket)).toMatchObject({ served: false, reason: 'TICKET_INVALID' });
    expect((await client.query('health.live')).error).toBeUndefined();
  }, 40_000);

  test('opened elsewhere meanwhile, it is closed where it was unclaimed as soon as Redis tells', async () => {
    await using it = await stand();
    const { cut, other, proxy } = it;
    const ticket = await it.tickets.issue(other, 'twin');
    proxy.delay(150, 'up');
    await using client = await openRaw(cut, { ticket });
    proxy.cut();
    expect((await client.query('health.live')).error).toBeUndefined();
    // The stated exception to "one ticket, one connection": while Redis cannot be asked.
    await using twin = await openRaw(other, { ticket });
    expect((await twin.query('health.live')).error).toBeUndefined();

    proxy.pass();
    expect(await client.closed).toEqual({ code: 1008, reason: 'TICKET_INVALID' });
    expect((await twin.query('health.live')).error).toBeUndefined();
    expect(await opens(cut, other)).toEqual({ unclaimed: 1, established: 1 });
    expect(await passes(cut, other)).toEqual({ redis: 1, redis_consumed: 1 });
  }, 40_000);

  test('an instance that did not pass the ticket itself refuses', async () => {
    await using it = await stand();
    const { cut, other, proxy } = it;
    const ticket = await it.tickets.issue(other, 'elsewhere');
    proxy.cut();
    expectRefusal(await tryUpgrade(cut, `/trpc?ticket=${ticket}`), 503, 'WS_TICKET_REDIS_NOT_READY');
    expect(await passes(cut)).toEqual({});
    expect(await tryTicket(other, ticket)).toEqual({ served: true });
  }, 40_000);
});
