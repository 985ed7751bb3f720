import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { get, query } from '../harness/http.ts';
import { startProxy, type TcpProxy } from '../harness/proxy.ts';
import { openRaw } from '../harness/raw-client.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import type { Server } from '../harness/server.ts';
import { adminToken, mintToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually } from '../harness/wait.ts';
import { opens, passes, startReady, Tickets } from './fleet.ts';
import { tryTicket } from './handshake.ts';

describe('a ticket that was passed and not opened', () => {
  let redis: Redis;
  let proxy: TcpProxy;
  let first: Server;
  let second: Server;
  const tickets = new Tickets();
  beforeAll(async () => {
    redis = await startRedis();
    proxy = await startProxy(redis.port);
    [first, second] = await Promise.all([
      startReady({ REDIS_URL: `redis://127.0.0.1:${proxy.port}`, MAX_CONNECTIONS_PER_USER: '1' }),
      startReady({ REDIS_URL: redis.url, MAX_CONNECTIONS_PER_USER: '1' }),
    ]);
  });
  afterAll(async () => {
    tickets.expectUnseen([first, second]);
    await Promise.all([first.kill(), second.kill()]);
    await proxy[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });

  /** Passes the ticket at an instance whose user has no place left: the handshake ends before it opens. */
  const passOnly = async (instance: Server, userId: string, ticket: string): Promise<{ free: () => Promise<void> }> => {
    const holder = await openRaw(instance, { headers: { authorization: `Bearer ${await mintToken({ userId })}` } });
    await holder.query('health.live');
    const refused = await tryUpgrade(instance, `/trpc?ticket=${ticket}`);
    expect([refused.status, refused.error?.code]).toEqual([429, 'CONNECTION_LIMIT']);
    return {
      async free() {
        await holder.close();
        const token = await adminToken();
        await eventually(async () => {
          const { data } = await query<{ connections: unknown[] }>(instance, 'connection.list', { userId }, { token });
          return data?.connections.length === 0;
        });
      },
    };
  };

  test('is served on another instance, from the mirror in Redis', async () => {
    const ticket = await tickets.issue(first, 'moved');
    const before = await passes(second);
    const { free } = await passOnly(first, 'moved', ticket);
    await free();
    expect(await tryTicket(second, ticket)).toEqual({ served: true });
    expect((await passes(second)).redis_consumed).toBe((before.redis_consumed ?? 0) + 1);
    // Opened there, it is over here.
    expect(await tryTicket(first, ticket)).toMatchObject({ served: false, reason: 'TICKET_INVALID' });
    expect(await tryTicket(second, ticket)).toMatchObject({ served: false, status: 401, reason: 'TICKET_INVALID' });
  });

  test('is served on the same instance, from its own memory', async () => {
    const ticket = await tickets.issue(second, 'returned');
    const before = await passes(second);
    const { free } = await passOnly(second, 'returned', ticket);
    await free();
    expect(await tryTicket(second, ticket)).toEqual({ served: true });
    const after = await passes(second);
    expect([after.redis, after.in_process]).toEqual([(before.redis ?? 0) + 1, (before.in_process ?? 0) + 1]);
  });

  test('is served when only the answer of Redis was lost, wherever the handshake is tried again', async () => {
    for (const again of [first, second]) {
      const ticket = await tickets.issue(second, `lost-${again === first}`);
      proxy.blackhole('down');
      const lost = await tryUpgrade(first, `/trpc?ticket=${ticket}`);
      expect([lost.status, lost.error?.code]).toEqual([503, 'WS_TICKET_REDIS_NOT_READY']);
      proxy.pass();
      await eventually(async () => (await get(first, '/readyz')).status === 200, { what: 'Redis behind the proxy' });
      expect(await tryTicket(again, ticket)).toEqual({ served: true });
      expect(await tryTicket(second, ticket)).toMatchObject({ served: false, reason: 'TICKET_INVALID' });
    }
  });

  test('is served on another instance when the first was killed in the middle of the handshake', async () => {
    const doomedProxy = await startProxy(redis.port);
    await using doomed = await startReady({ REDIS_URL: `redis://127.0.0.1:${doomedProxy.port}` });
    const ticket = await tickets.issue(second, 'orphan');
    doomedProxy.blackhole('down');
    const attempt = tryTicket(doomed, ticket);
    await eventually(async () => ((await redis.command('KEYS', '*:consumed')) as string[]).length > 0, {
      what: 'the pass',
    });
    await doomed.kill();
    expect((await attempt).served).toBe(false);
    expect(await tryTicket(second, ticket)).toEqual({ served: true });
    await doomedProxy[Symbol.asyncDispose]();
  });

  test('is over 10 s after its first pass, shortened here to 300 ms', async () => {
    const env = {
      REDIS_URL: redis.url,
      MAX_CONNECTIONS_PER_USER: '1',
      CONSUMED_TTL_MS: '300',
      CONSUMED_SWEEP_MS: '50',
    };
    await using brief = await startReady(env);
    const ticket = await tickets.issue(brief, 'late');
    const { free } = await passOnly(brief, 'late', ticket);
    await free();
    await eventually(async () => ((await redis.command('KEYS', '*:consumed')) as string[]).length === 0, {
      what: 'the mirror to end',
    });
    expect(await tryTicket(brief, ticket)).toMatchObject({ served: false, status: 401, reason: 'TICKET_INVALID' });
    expect(await tryTicket(second, ticket)).toMatchObject({ served: false, status: 401, reason: 'TICKET_INVALID' });
  });

  test('its source is logged with the trace id of the handshake', async () => {
    const ticket = await tickets.issue(second, 'traced');
    await tryUpgrade(second, `/trpc?ticket=${ticket}`, { headers: { 'x-trace-id': 'trace-of-a-pass' } });
    const line = await second.log(({ msg, traceId }) => msg === 'Ticket pass' && traceId === 'trace-of-a-pass');
    expect(line.source).toBe('redis');
    expect(await opens(second)).not.toContainKey('unclaimed');
  });
});
