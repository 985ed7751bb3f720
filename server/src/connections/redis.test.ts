import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import { connectRedis } from '../redis/connect.ts';
import { RedisAwayError, type RedisConnection, type RedisListener } from '../redis/connection.ts';
import {
  captureLog,
  freePort,
  principalOf,
  readyRedis,
  startRedis,
  type TestRedis,
  until,
} from '../tickets/testing.ts';
import { type ConnectionRegistry, type ConnectionRegistryOptions, createConnectionRegistry } from './registry.ts';
import { describeConnectionRegistry, open, refusal } from './registry-behaviour.ts';
import { createRevocations } from './revocations.ts';

let server: TestRedis;
let shared: RedisConnection;
beforeAll(async () => {
  server = await startRedis();
  shared = await readyRedis(server.url, 'shared:');
});
afterAll(async () => {
  await shared.close();
  await server.stop();
});

/** A busy machine must not make an instance decide alone where a test is not about that. */
const patient = { timeoutMs: 10_000, answerTimeoutMs: 10_000 };

let suites = 0;
describeConnectionRegistry('the connection registry on Redis', (options) => {
  // Each test a prefix of its own: they share a Redis, and their sessions must not meet.
  suites += 1;
  const redis = Object.create(shared, { keyPrefix: { value: `suite-${suites}:` } }) as RedisConnection;
  return createConnectionRegistry({ instanceId: 'one', redis, log: captureLog().log, ...patient, ...options });
});

interface Instance {
  readonly registry: ConnectionRegistry;
  readonly redis: RedisConnection;
  readonly lines: string[];
  readonly ear: { deaf: boolean };
  /** Gone without a word, as by SIGKILL. */
  kill(): Promise<void>;
}

const instances: Instance[] = [];
const closeAll = async (): Promise<void> => {
  for (const { registry, redis } of instances.splice(0)) {
    await registry.close();
    await redis.close();
  }
};
afterEach(closeAll);

const start = async (
  prefix: string,
  instanceId: string,
  options: Partial<ConnectionRegistryOptions> = {},
  on = server,
): Promise<Instance> => {
  const redis = await readyRedis(on.url, `${prefix}:`);
  const ear = earOf(redis);
  const { log, lines } = captureLog();
  const registry = createConnectionRegistry({ instanceId, redis: ear.redis, log, ...patient, ...options });
  const instance = { registry, redis, lines, ear, kill: () => redis.close() };
  instances.push(instance);
  // Both are known to each other, and listen, before a test begins.
  const key = `${prefix}:{control}:instances`;
  await until(async () => (await redis.send(key, ['ZSCORE', key, instanceId])) !== null);
  await until(async () => {
    const counts = (await redis.send(key, [
      'PUBSUB',
      'SHARDNUMSUB',
      `${prefix}:{control}:to:${instanceId}`,
    ])) as unknown[];
    return Number(counts[1]) === 1;
  });
  return instance;
};

const two = async (prefix: string, options: Partial<ConnectionRegistryOptions> = {}, on = server) =>
  [await start(prefix, 'one', options, on), await start(prefix, 'two', options, on)] as const;

test('200 connections of one user that race on two instances: exactly 10 are admitted', async () => {
  const [one, other] = await two('race');
  const settled = await Promise.allSettled(
    Array.from({ length: 200 }, (_, n) => open((n % 2 ? one : other).registry, 'u', `c${n}`)),
  );
  expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
  expect(one.registry.size + other.registry.size).toBe(10);
});

test('200 connections of one user that race on two instances with eviction: the 10 that remain are counted', async () => {
  const [one, other] = await two('evict-race', { overflow: 'evict' });
  const opened = await Promise.allSettled(
    Array.from({ length: 200 }, (_, n) => open((n % 2 ? one : other).registry, 'u', `c${n}`, { since: n })),
  );
  const remaining = () =>
    opened.filter((result) => result.status === 'fulfilled' && result.value.closedWith.length === 0).length;
  await until(() => remaining() === 10);
  expect(await one.redis.send('', ['ZCARD', 'evict-race:{u:u}:leases'])).toBe(10);
});

test('the places of a killed instance are free within one lease, and not before', async () => {
  const leaseMs = 2_000;
  const [one, other] = await two('killed', { maxConnectionsPerUser: 2, leaseMs, refreshMs: 200 });
  await open(one.registry, 'u', 'a');
  await open(other.registry, 'u', 'b');
  // Longer than a lease: only the refresh keeps the places.
  const begunAt = Date.now();
  await until(() => Date.now() - begunAt > leaseMs + 500);
  const error = await refusal(open(other.registry, 'u', 'c'));
  expect(error.reason).toBe('CONNECTION_LIMIT');
  expect(error.retryAfterMs).toBeWithin(1, leaseMs + 1);
  await one.kill();
  // What remains alive keeps the user's keys, so that the dead one's place must be found among them.
  const [seconds] = (await shared.send('', ['TIME'])) as [string, string];
  const ends = (await shared.send('', ['ZRANGE', 'killed:{u:u}:leases', '-1', '-1', 'WITHSCORES'])) as [
    [string, number],
  ];
  expect(ends[0][1]).toBeLessThanOrEqual((Number(seconds) + 1) * 1_000 + leaseMs);
  await until(async () => {
    const admitted = open(other.registry, 'u', 'd');
    return admitted.then(
      () => true,
      () => false,
    );
  });
  expect((await refusal(open(other.registry, 'u', 'e'))).reason).toBe('CONNECTION_LIMIT');
});

test('an evicted connection is closed on the instance where it lives', async () => {
  const [one, other] = await two('evict', { maxConnectionsPerUser: 2, overflow: 'evict' });
  const oldest = await open(one.registry, 'u', 'a', { since: 1 });
  const newer = await open(other.registry, 'u', 'b', { since: 2 });
  const newest = await open(other.registry, 'u', 'c', { since: 3 });
  await until(() => oldest.closedWith.length > 0);
  expect([oldest.closedWith, newer.closedWith, newest.closedWith]).toEqual([['CONNECTION_LIMIT'], [], []]);
});

test('an evicted connection whose message was lost is closed at the next refresh', async () => {
  const [one, other] = await two('evict-lost', { maxConnectionsPerUser: 1, overflow: 'evict', refreshMs: 200 });
  const oldest = await open(one.registry, 'u', 'a', { since: 1 });
  one.ear.deaf = true;
  await open(other.registry, 'u', 'b', { since: 2 });
  await until(() => oldest.closedWith.length > 0);
  expect(oldest.closedWith).toEqual(['CONNECTION_LIMIT']);
});

test('list() tells the connections of all instances', async () => {
  const [one, other] = await two('list');
  await open(one.registry, 'ann', 'a', { since: 2 });
  await open(other.registry, 'ann', 'b', { since: 1 });
  await open(other.registry, 'bob', 'c', { since: 3 });
  for (const { registry } of [one, other]) {
    const { connections } = await registry.list({ limit: 100 });
    expect(connections.map(({ connectionId, instanceId }) => `${instanceId}/${connectionId}`)).toEqual([
      'two/b',
      'one/a',
      'two/c',
    ]);
    expect((await registry.list({ userId: 'ann', limit: 100 })).connections).toHaveLength(2);
    expect((await registry.list({ userId: 'ann', limit: 1 })).connections).toHaveLength(1);
  }
});

test('disconnect() reaches the connection on the other instance', async () => {
  const [one, other] = await two('disconnect');
  const { closedWith } = await open(one.registry, 'u', 'a');
  expect(await other.registry.disconnect({ connectionId: 'a' })).toEqual({ disconnected: 1 });
  expect(closedWith).toEqual(['DRAINING']);
  expect(await other.registry.disconnect({ connectionId: 'a' })).toEqual({ disconnected: 0 });
});

test('revoke() is in force on every instance when it answers, and counts what it closed on all', async () => {
  const [one, other] = await two('revoke');
  const issuedAt = Date.now() - 1;
  const here = await open(one.registry, 'u', 'a', { sessionId: 's', issuedAt });
  const there = await open(other.registry, 'u', 'b', { sessionId: 's', issuedAt });
  const another = await open(other.registry, 'u', 'c', { sessionId: 't', issuedAt });
  expect(await one.registry.revoke({ sessionId: 's' })).toEqual({ disconnected: 2 });
  expect([here.closedWith, there.closedWith, another.closedWith]).toEqual([
    ['SESSION_REVOKED'],
    ['SESSION_REVOKED'],
    [],
  ]);
  expect(other.registry.revocations.isRevoked(principalOf('u', { sessionId: 's' }), Date.now())).toBe(true);
  expect(await one.registry.revoke({ userId: 'u' })).toEqual({ disconnected: 1 });
  expect(other.registry.revocations.isRevoked(principalOf('u', { sessionId: 'x' }), issuedAt)).toBe(true);
  expect(other.registry.revocations.isRevoked(principalOf('u', { sessionId: 'x' }), Date.now() + 60_000)).toBe(false);
});

test('an instance that starts later knows what was revoked', async () => {
  const one = await start('later', 'one');
  await one.registry.revoke({ sessionId: 's' });
  await one.registry.revoke({ userId: 'u' });
  const other = await start('later', 'two');
  await until(() => other.registry.revocations.loaded);
  expect(other.registry.revocations.isRevoked(principalOf('x', { sessionId: 's' }), Date.now())).toBe(true);
  expect(other.registry.revocations.isRevoked(principalOf('u'), 0)).toBe(true);
});

test('an instance that starts before Redis does hears, counts and knows all the same', async () => {
  const port = await freePort();
  const { log } = captureLog();
  const redis = connectRedis({ urls: [`redis://127.0.0.1:${port}`], keyPrefix: 'early:', log });
  const registry = createConnectionRegistry({ instanceId: 'early', redis, log, ...patient });
  const { closedWith } = await open(registry, 'u', 'a', { sessionId: 's' });
  await using late = await startRedis(port);
  await until(() => redis.state === 'ready' && redis.delivery === 'ready');
  const other = await start('early', 'late', {}, late);
  await until(async () => (await other.redis.send('', ['ZCARD', 'early:{u:u}:leases'])) === 1);
  await until(async () => (await other.redis.send('', ['ZCARD', 'early:{control}:instances'])) === 2);
  expect((await other.registry.list({ limit: 10 })).connections).toHaveLength(1);
  expect(await other.registry.revoke({ sessionId: 's' })).toEqual({ disconnected: 1 });
  expect(closedWith).toEqual(['SESSION_REVOKED']);
  await closeAll();
  await registry.close();
  await redis.close();
});

test('more revocations than one page are all learnt by an instance that starts later', async () => {
  const one = await start('pages', 'one');
  await Promise.all(Array.from({ length: 1_200 }, (_, n) => one.redis.send('', pageOf('pages', n))));
  const other = await start('pages', 'two');
  await until(() => other.registry.revocations.loaded);
  const known = Array.from({ length: 1_200 }, (_, n) => principalOf('x', { sessionId: `s${n}` })).filter((principal) =>
    other.registry.revocations.isRevoked(principal, Date.now()),
  );
  expect(known).toHaveLength(1_200);
});

test('an instance that missed the message of a revocation finds it in Redis', async () => {
  const [one, other] = await two('missed', { revocationSyncMs: 100, answerTimeoutMs: 200 });
  const opened = await open(other.registry, 'u', 'a', { sessionId: 's' });
  other.ear.deaf = true;
  await one.registry.revoke({ sessionId: 's' });
  await until(() => opened.closedWith.length > 0);
  expect(opened.closedWith).toEqual(['SESSION_REVOKED']);
  expect(one.lines.some((line) => line.includes('did not answer'))).toBe(true);
});

test('a question that comes twice is answered alike, and closes nothing twice', async () => {
  const [one] = await two('twice');
  const { closedWith } = await open(one.registry, 'u', 'a');
  const answers: string[] = [];
  await shared.subscribe('twice:{control}:to:tester', (message) => answers.push(message));
  const question = { type: 'disconnect', connectionId: 'a', code: 'DRAINING' };
  const message = JSON.stringify({ v: 1, id: 'same', from: 'tester', question });
  for (let n = 0; n < 2; n += 1) await shared.send('', ['SPUBLISH', 'twice:{control}:live', message]);
  await until(() => answers.filter((text) => JSON.parse(text).from === 'one').length === 2);
  for (const text of answers) {
    const { from, answer } = JSON.parse(text);
    expect(answer.disconnected).toBe(from === 'one' ? 1 : 0);
  }
  expect(closedWith).toEqual(['DRAINING']);
});

test('what is not a message of the control channel is passed over', async () => {
  const [one, other] = await two('junk');
  for (const junk of ['', '{', '[]', '{"v":2,"id":"x","from":"y","question":{"type":"list"}}', '{"v":1}']) {
    await shared.send('', ['SPUBLISH', 'junk:{control}:live', junk]);
    await shared.send('', ['SPUBLISH', 'junk:{control}:to:one', junk]);
  }
  await open(other.registry, 'u', 'a');
  expect((await one.registry.list({ limit: 10 })).connections).toHaveLength(1);
});

test('a killed instance keeps nobody waiting longer than the answer timeout, and is forgotten', async () => {
  const [one, other] = await two('silent', { answerTimeoutMs: 150 });
  await open(one.registry, 'u', 'a');
  await other.kill();
  expect((await one.registry.list({ limit: 10 })).connections).toHaveLength(1);
});

test('while Redis is away local limits hold, this instance answers for itself, and a revocation waits for Redis', async () => {
  const mortal = await startRedis();
  const options = { maxConnectionsPerUser: 2, refreshMs: 200, revocationSyncMs: 200, timeoutMs: 200 };
  const [one, other] = await two('away', options, mortal);
  const first = await open(one.registry, 'u', 'a', { sessionId: 's' });
  const second = await open(other.registry, 'v', 'z', { sessionId: 's' });
  await mortal.stop();
  await until(() => one.redis.state === 'away' && other.redis.state === 'away');
  await open(one.registry, 'u', 'b', { sessionId: 't' });
  expect((await refusal(open(one.registry, 'u', 'c'))).reason).toBe('CONNECTION_LIMIT');
  expect((await one.registry.list({ limit: 10 })).connections).toHaveLength(2);
  expect(await one.registry.revoke({ sessionId: 's' })).toEqual({ disconnected: 1 });
  expect(first.closedWith).toEqual(['SESSION_REVOKED']);
  await using empty = await startRedis(mortal.port);
  // It comes back empty: what was revoked meanwhile reaches the other, and the connections count again.
  await until(() => second.closedWith.length > 0);
  expect(second.closedWith).toEqual(['SESSION_REVOKED']);
  const peek = await readyRedis(empty.url);
  await until(async () => (await peek.send('', ['ZCARD', 'away:{u:u}:leases'])) === 1);
  await peek.close();
  await closeAll();
});

test('a revocation that Redis did not take is written when it does', async () => {
  const redis = await readyRedis(server.url, 'owed:');
  let refusing = true;
  const refusals: RedisConnection = Object.create(redis, {
    run: {
      value: (...call: Parameters<RedisConnection['run']>) =>
        refusing ? Promise.reject(new RedisAwayError('On purpose', { ambiguous: false })) : redis.run(...call),
    },
  });
  const revocations = createRevocations({ redis: refusals, log: captureLog().log, onFound: () => {}, syncMs: 50 });
  // Past the comparison that every return of Redis brings.
  refusing = false;
  await until(() => revocations.loaded);
  refusing = true;
  await revocations.revoke({ sessionId: 's' });
  expect(revocations.isRevoked(principalOf('u', { sessionId: 's' }), 0)).toBe(true);
  refusing = false;
  await until(async () => (await redis.send('', ['ZCARD', 'owed:{control}:revocations'])) === 1);
  await revocations.close();
  await redis.close();
});

test('a Redis that was emptied learns again what was revoked', async () => {
  await using mortal = await startRedis();
  const one = await start('emptied', 'one', { revocationSyncMs: 100 }, mortal);
  await one.registry.revoke({ sessionId: 's' });
  await until(() => one.registry.revocations.loaded);
  await mortal.stop();
  await until(() => one.redis.state === 'away');
  await using empty = await startRedis(mortal.port);
  await until(async () => one.redis.state === 'ready');
  await until(async () => (await one.redis.send('', ['ZCARD', 'emptied:{control}:revocations'])) === 1);
  const other = await start('emptied', 'two', {}, empty);
  await until(() => other.registry.revocations.loaded);
  expect(other.registry.revocations.isRevoked(principalOf('x', { sessionId: 's' }), 0)).toBe(true);
  await closeAll();
});

test('a revocation that comes while a connection is being admitted refuses it', async () => {
  const one = await start('meanwhile', 'one');
  const admitting = refusal(open(one.registry, 'u', 'a', { sessionId: 's' }));
  await one.registry.revoke({ sessionId: 's' });
  expect((await admitting).reason).toBe('SESSION_REVOKED');
  expect(one.registry.size).toBe(0);
  await until(async () => (await one.redis.send('', ['EXISTS', 'meanwhile:{u:u}:leases'])) === 0);
});

test('a frozen Redis delays an admission by its timeout, and then this instance decides', async () => {
  await using mortal = await startRedis();
  const one = await start('frozen', 'one', { maxConnectionsPerUser: 1, timeoutMs: 100, refreshMs: 200 }, mortal);
  mortal.freeze();
  await open(one.registry, 'u', 'a');
  expect((await refusal(open(one.registry, 'u', 'b'))).reason).toBe('CONNECTION_LIMIT');
  mortal.thaw();
  await until(() => one.redis.state === 'ready');
  await until(async () => (await one.redis.send('', ['ZSCORE', 'frozen:{u:u}:leases', 'a'])) !== null);
  await closeAll();
});

test('nothing is left in Redis when all have gone', async () => {
  const [one, other] = await two('left', { leaseMs: 800, refreshMs: 200, overflow: 'evict', maxConnectionsPerUser: 1 });
  const first = await open(one.registry, 'u', 'a', { since: 1 });
  const second = await open(other.registry, 'u', 'b', { since: 2 });
  await Promise.all([first.lease.release(), second.lease.release()]);
  await open(one.registry, 'v', 'c');
  await one.registry.close();
  await other.registry.close();
  await until(async () => ((await shared.send('', ['KEYS', 'left:*'])) as string[]).length === 0);
});

function pageOf(prefix: string, n: number): string[] {
  const came = Date.now() - 2_000 + Math.floor(n / 700);
  return ['ZADD', `${prefix}:{control}:revocations`, String(came), JSON.stringify([null, `s${n}`, came])];
}

/** The same connection, with an ear that can be closed: messages are lost, commands go through. */
function earOf(redis: RedisConnection): { readonly redis: RedisConnection; deaf: boolean } {
  const heard = new Map<RedisListener, RedisListener>();
  const ear = {
    deaf: false,
    redis: Object.create(redis, {
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
    }) as RedisConnection,
  };
  return ear;
}
