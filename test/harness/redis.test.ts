import { expect, test } from 'bun:test';
import { startRedis } from './redis.ts';
import { startCluster } from './redis-cluster.ts';
import { startReplica } from './redis-replica.ts';
import { eventually, within } from './wait.ts';

test('startRedis() starts a Redis of its own that ends with its scope', async () => {
  let port = 0;
  {
    await using redis = await startRedis();
    port = redis.port;
    await redis.command('SET', 'a', '1');
    expect(await redis.command('GET', 'a')).toBe('1');
    await redis.flush();
    expect(await redis.command('GET', 'a')).toBeNull();
  }
  await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow();
});

test('restart() keeps the data or loses it, as asked', async () => {
  await using redis = await startRedis();
  await redis.command('SET', 'a', '1');
  await redis.restart({ keepData: true });
  expect(await redis.command('GET', 'a')).toBe('1');
  await redis.restart({ keepData: false });
  expect(await redis.command('GET', 'a')).toBeNull();
});

test('kill() loses what was in memory only, and nothing with persist', async () => {
  await using fleeting = await startRedis();
  await using lasting = await startRedis({ persist: true });
  for (const redis of [fleeting, lasting]) {
    await redis.command('SET', 'a', '1');
    await redis.kill();
    await expect(redis.command('PING')).rejects.toThrow();
    await redis.start();
  }
  expect(await fleeting.command('GET', 'a')).toBeNull();
  expect(await lasting.command('GET', 'a')).toBe('1');
});

test('freeze() leaves commands unanswered until thaw()', async () => {
  await using redis = await startRedis();
  redis.freeze();
  let answered = false;
  const pong = redis.command('PING').then((answer) => {
    answered = true;
    return answer;
  });
  // Another Redis that starts and answers meanwhile: the frozen one had its time.
  await using _other = await startRedis();
  expect(answered).toBe(false);
  redis.thaw();
  expect(await within(pong)).toBe('PONG');
});

test('stop() ends a frozen Redis too, and start() opens the same port again', async () => {
  await using redis = await startRedis();
  redis.freeze();
  await redis.stop();
  await redis.start();
  expect(await redis.command('PING')).toBe('PONG');
});

test('startReplica() follows its primary until promote()', async () => {
  await using primary = await startRedis();
  await using replica = await startReplica(primary);
  await primary.command('SET', 'a', '1');
  await eventually(async () => (await replica.command('GET', 'a')) === '1');
  await expect(replica.command('SET', 'a', '2')).rejects.toThrow('READONLY');
  await replica.promote();
  expect(await replica.command('SET', 'a', '2')).toBe('OK');
});

test('startCluster() spreads the slots over its primaries, and a replica takes over', async () => {
  await using cluster = await startCluster({ replicas: 1, nodeTimeoutMs: 1_000 });
  const [first] = cluster.primaries;
  expect(cluster.url.split(',')).toHaveLength(6);
  // CRC16 of "a" is slot 15495, of the last third.
  await expect(first!.command('SET', 'a', '1')).rejects.toThrow(/^MOVED 15495 /);
  await cluster.primaries[2]!.command('SET', 'a', '1');
  await cluster.flush();
  await first!.kill();
  await eventually(async () => String(await cluster.replicas[0]!.command('ROLE')).startsWith('master'));
});
