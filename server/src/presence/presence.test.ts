import { afterEach, describe, expect, test } from 'bun:test';
import { UsherError } from '@usher/contracts';
import { RedisAwayError, type RedisConnection, type RedisListener } from '../redis/connection.ts';
import { captureLog, principalOf, readyRedis, startRedis, until } from '../tickets/testing.ts';
import { createMemoryPresence } from './memory.ts';
import { createPresence, type Presence, type PresenceOptions } from './presence.ts';
import { createRedisPresence } from './redis.ts';
import { type Change, parseChange } from './view.ts';

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

const presenceOn = (store: PresenceOptions['store'], options: Partial<PresenceOptions> = {}) => {
  const { log, lines } = captureLog();
  const missed: string[] = [];
  const presence = createPresence({
    store,
    authorize: async () => {},
    log,
    onMissed: (topic, change) => missed.push(`${topic} ${change}`),
    tickMs: 20,
    ...options,
  });
  opened.push(() => presence.close());
  return { presence, missed, lines };
};

const names = (members: string): string[] => (JSON.parse(members) as { userId: string }[]).map(({ userId }) => userId);
const listed = async (presence: Presence, topic: string) =>
  (await presence.list(principalOf('reader'), { topic })).members.map(
    ({ userId, connections }) => `${userId} ${connections}`,
  );

describe('presence in one process', () => {
  test('enter() gives who is there, with the one who came, and exit() takes him out', async () => {
    const { presence } = presenceOn(createMemoryPresence());
    const ann = await presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    const bob = await presence.enter('job:1', { connectionId: 'b', userId: 'bob', info: { colour: 'red' } });
    expect(names(ann.members)).toEqual(['ann']);
    expect(names(bob.members)).toEqual(['ann', 'bob']);
    expect(JSON.parse(bob.members)[1]).toMatchObject({ userId: 'bob', connections: 1, info: { colour: 'red' } });
    ann.exit();
    ann.exit();
    expect(await listed(presence, 'job:1')).toEqual(['bob 1']);
    bob.exit();
    expect(await listed(presence, 'job:1')).toEqual([]);
    expect(presence.size).toBe(0);
  });

  test('a connection that entered twice leaves when it has left twice', async () => {
    const { presence } = presenceOn(createMemoryPresence());
    const first = await presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    const second = await presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    first.exit();
    first.exit();
    expect(await listed(presence, 'job:1')).toEqual(['ann 1']);
    second.exit();
    expect(await listed(presence, 'job:1')).toEqual([]);
  });

  test('leases of members that are there are prolonged, long after the first is over', async () => {
    let clock = 0;
    const now = () => clock;
    const told: string[] = [];
    const notify = (_topic: string, change: string) => told.push(change);
    const store = createMemoryPresence({ leaseMs: 60_000, now, notify });
    let holds = 0;
    const counted = {
      ...store,
      hold: ((...args) => {
        holds += 1;
        return store.hold(...args);
      }) as typeof store.hold,
    };
    const { presence } = presenceOn(counted, { now, tickMs: 1 });
    await presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    for (let n = 0; n < 10; n += 1) {
      const before = holds;
      clock += 25_000;
      await until(() => holds > before);
    }
    expect(await listed(presence, 'job:1')).toEqual(['ann 1']);
    expect(told).toHaveLength(1);
    expect(holds).toBe(11);
  });

  test('list() asks whether the caller may read the topic', async () => {
    const asked: string[] = [];
    const { presence } = presenceOn(createMemoryPresence(), {
      authorize: async (principal, topic) => {
        asked.push(`${principal.userId} ${topic}`);
        throw new UsherError('TOPIC_UNKNOWN');
      },
    });
    const error = await presence.list(principalOf('eve'), { topic: 'job:1' }).catch((cause: unknown) => cause);
    expect((error as UsherError).reason).toBe('TOPIC_UNKNOWN');
    expect(asked).toEqual(['eve job:1']);
  });

  test('enter() refuses an info that is too long', async () => {
    const { presence } = presenceOn(createMemoryPresence());
    const info = 'x'.repeat(2_000);
    const error = await presence
      .enter('job:1', { connectionId: 'a', userId: 'ann', info })
      .catch((cause: unknown) => cause);
    expect((error as UsherError).reason).toBe('BAD_REQUEST');
    expect(presence.size).toBe(0);
  });

  test('close() takes everybody out at once', async () => {
    const told: string[] = [];
    const store = createMemoryPresence({ notify: (topic, change) => told.push(`${topic} ${change}`) });
    const { presence } = presenceOn(store);
    await presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    await presence.enter('job:2', { connectionId: 'a', userId: 'ann' });
    await presence.close();
    expect(told.filter((text) => !text.includes('"left":[]')).map((text) => text.slice(0, 5))).toEqual([
      'job:1',
      'job:2',
    ]);
    expect((await presence.enter('job:1', { connectionId: 'b', userId: 'bob' })).members).toBe('[]');
    expect(await store.list('job:1')).toEqual([]);
  });
});

describe('presence over two instances', () => {
  /** An instance on a real Redis whose ear for messages can be closed. */
  const instance = async (url: string, options: Partial<PresenceOptions> & { leaseMs?: number } = {}) => {
    const redis = await readyRedis(url);
    const heard = new Map<RedisListener, RedisListener>();
    const ear = { deaf: false };
    const hearing = Object.create(redis, {
      subscribe: {
        value: (channel: string, listener: RedisListener) => {
          heard.set(listener, (message) => {
            if (!ear.deaf) listener(message);
          });
          return redis.subscribe(channel, heard.get(listener)!);
        },
      },
      unsubscribe: {
        value: (channel: string, listener: RedisListener) =>
          redis.unsubscribe(channel, heard.get(listener) ?? listener),
      },
    }) as RedisConnection;
    opened.push(() => redis.close());
    const { leaseMs, ...rest } = options;
    const store = createRedisPresence({ redis: hearing, leaseMs, timeoutMs: 2_000 });
    return { redis, store, ear, ...presenceOn(store, rest) };
  };

  const changesOf = async (store: PresenceOptions['store'], topic: string) => {
    const changes: Change[] = [];
    await store.listen(topic, (text) => changes.push(parseChange(text)!));
    return () =>
      changes.flatMap(({ joined, left }) => [
        ...joined.map(({ userId }) => `+${userId}`),
        ...left.map(({ userId }) => `-${userId}`),
      ]);
  };

  test('each instance gives the members of both, and tells of changes once', async () => {
    await using server = await startRedis();
    const one = await instance(server.url);
    const two = await instance(server.url);
    const told = await changesOf(one.store, 'job:1');
    const ann = await one.presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    const bob = await two.presence.enter('job:1', { connectionId: 'b', userId: 'bob' });
    const again = await two.presence.enter('job:1', { connectionId: 'c', userId: 'ann' });
    expect(names(bob.members)).toEqual(['ann', 'bob']);
    expect(names(again.members).sort()).toEqual(['ann', 'bob']);
    expect(await listed(one.presence, 'job:1')).toEqual(['ann 2', 'bob 1']);
    ann.exit();
    bob.exit();
    again.exit();
    await until(() => told().includes('-ann'));
    expect(told()).toEqual(['+ann', '+bob', '-bob', '-ann']);
    await until(async () => ((await one.redis.send('', ['KEYS', '*'])) as string[]).length === 0);
    for (const { presence, missed, lines } of [one, two]) {
      expect(missed).toEqual([]);
      expect(lines.filter((line) => line.includes('[Presence]'))).toEqual([]);
      expect(presence.size).toBe(0);
    }
  });

  test('the members of a killed instance leave within a lease, told once, though three instances listen', async () => {
    await using server = await startRedis();
    const slow = { leaseMs: 2_000, refreshMs: 500 };
    const dying = await instance(server.url, slow);
    const survivors = [
      await instance(server.url, slow),
      await instance(server.url, slow),
      await instance(server.url, slow),
    ];
    const told = await changesOf(survivors[0]!.store, 'job:1');
    await dying.presence.enter('job:1', { connectionId: 'd1', userId: 'dead' });
    await dying.presence.enter('job:1', { connectionId: 'd2', userId: 'dead' });
    for (const [n, { presence }] of survivors.entries()) {
      await presence.enter('job:1', { connectionId: `s${n}`, userId: `alive-${n}` });
    }
    await dying.redis.close();
    await until(() => told().includes('-dead'));
    const begunAt = Date.now();
    await until(() => Date.now() - begunAt > 1_000);
    expect(told()).toEqual(['+dead', '+alive-0', '+alive-1', '+alive-2', '-dead']);
    expect(await listed(survivors[1]!.presence, 'job:1')).toEqual(['alive-0 1', 'alive-1 1', 'alive-2 1']);
  });

  test('a dead instance is noticed at the end of its lease, not at the next refresh', async () => {
    await using server = await startRedis();
    const dying = await instance(server.url, { leaseMs: 500, refreshMs: 600_000 });
    const survivor = await instance(server.url, { leaseMs: 60_000, refreshMs: 600_000 });
    const told = await changesOf(survivor.store, 'job:1');
    await dying.presence.enter('job:1', { connectionId: 'd', userId: 'dead' });
    await survivor.presence.enter('job:1', { connectionId: 's', userId: 'alive' });
    await dying.redis.close();
    await until(() => told().includes('-dead'));
    expect(told().sort()).toEqual(['+alive', '+dead', '-dead']);
  });

  test('enter() and list() work while Redis is away, and all is put right when it is back, empty', async () => {
    const server = await startRedis();
    const options = { refreshMs: 300, retryMs: 100 };
    const one = await instance(server.url, options);
    const two = await instance(server.url, options);
    await one.presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    await two.presence.enter('job:1', { connectionId: 'b', userId: 'bob' });
    await server.stop();
    await until(() => one.redis.state === 'away' && two.redis.state === 'away');
    const carol = await one.presence.enter('job:1', { connectionId: 'c', userId: 'carol' });
    expect(names(carol.members).sort()).toEqual(['ann', 'bob', 'carol']);
    (await one.presence.enter('job:1', { connectionId: 'd', userId: 'dan' })).exit();
    const told = one.missed.map((text) => parseChange(text.slice('job:1 '.length))!);
    expect(told.map(({ joined, left }) => [joined[0]?.userId, left[0]?.userId])).toEqual([
      ['carol', undefined],
      ['dan', undefined],
      [undefined, 'dan'],
    ]);
    expect(await listed(one.presence, 'job:1')).toContain('carol 1');
    const unknown = await one.presence.list(principalOf('x'), { topic: 'job:9' }).catch((cause: unknown) => cause);
    expect((unknown as UsherError).reason).toBe('REDIS_NOT_READY');
    await using empty = await startRedis(server.port);
    await until(() => one.redis.state === 'ready' && two.redis.state === 'ready');
    await until(async () => (await listed(two.presence, 'job:1').catch(() => [])).length === 3);
    expect((await listed(one.presence, 'job:1')).sort()).toEqual(['ann 1', 'bob 1', 'carol 1']);
    expect(empty.port).toBe(server.port);
    // While the server still stands: closing must not wait for it to go.
    for (const close of opened.splice(0).reverse()) await close();
  });

  test('what an instance did not hear is told to its subscribers when the line is back', async () => {
    await using server = await startRedis();
    const one = await instance(server.url, { retryMs: 50 });
    const two = await instance(server.url, { retryMs: 50 });
    await one.presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    const bob = await two.presence.enter('job:1', { connectionId: 'b', userId: 'bob' });
    await until(() => one.redis.delivery === 'ready');
    const told = await changesOf(one.store, 'job:1');
    const dora = await two.presence.enter('job:1', { connectionId: 'd', userId: 'dora' });
    await until(() => told().includes('+dora'));
    one.ear.deaf = true;
    bob.exit();
    await two.presence.enter('job:1', { connectionId: 'c', userId: 'carol' });
    await until(async () => (await listed(two.presence, 'job:1')).length === 3);
    one.ear.deaf = false;
    one.redis.restartDelivery('on purpose');
    await until(() => one.missed.length > 0);
    const [missed] = one.missed.map((text) => parseChange(text.slice('job:1 '.length))!);
    expect(missed!.joined.map(({ userId }) => userId)).toEqual(['carol']);
    expect(missed!.left.map(({ userId, connections }) => `${userId} ${connections}`)).toEqual(['bob 0']);
    dora.exit();
  });

  test('a change heard while the members are being read is neither lost nor undone', async () => {
    await using server = await startRedis();
    const one = await instance(server.url);
    const two = await instance(server.url);
    const leaving = await two.presence.enter('job:1', { connectionId: 'l', userId: 'leaver' });
    const told = await changesOf(one.store, 'job:1');
    // The list is taken, and answered only when the leave that followed it has been heard.
    const list = one.store.list.bind(one.store);
    one.store.list = async (topic) => {
      const members = await list(topic);
      leaving.exit();
      await until(() => told().includes('-leaver'));
      return members;
    };
    const { members } = await one.presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    expect(names(members)).toEqual(['ann']);
  });

  test('a store that fails does not keep a subscriber out, and is asked again', async () => {
    let failing = true;
    const store = createMemoryPresence();
    const hold: typeof store.hold = (...args) =>
      failing ? Promise.reject(new RedisAwayError('On purpose', { ambiguous: true })) : store.hold(...args);
    const { presence, missed } = presenceOn({ ...store, hold }, { retryMs: 10 });
    const { members } = await presence.enter('job:1', { connectionId: 'a', userId: 'ann' });
    expect(names(members)).toEqual(['ann']);
    expect(missed).toHaveLength(1);
    failing = false;
    await until(async () => (await store.list('job:1')).length === 1);
  });
});
