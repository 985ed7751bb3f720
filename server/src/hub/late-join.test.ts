import { afterAll, beforeAll, setDefaultTimeout } from 'bun:test';
import { pino } from 'pino';
import { type Redis, startRedis } from '../../../test/harness/redis.ts';
import { eventually } from '../../../test/harness/wait.ts';
import { redisAvailability } from '../redis/availability.ts';
import { connectRedis } from '../redis/connect.ts';
import type { RedisConnection } from '../redis/connection.ts';
import type { TopicLog } from '../topics/log.ts';
import { createMemoryLog } from '../topics/memory.ts';
import { createRedisLog } from '../topics/redis.ts';
import { describeLateJoin } from './late-join-behaviour.ts';
import { createStand, standLimits } from './stand.fixture.ts';
import type { Availability } from './verifier.ts';

setDefaultTimeout(60_000);

const logLimits = { topicMaxEvents: 50_000, topicTtlMs: 3_600_000, topicCloseGraceMs: 60_000 };
const closers: (() => unknown)[] = [];
let redis: Redis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  for (const close of closers) await close();
  await redis[Symbol.asyncDispose]();
});

const instance = (log: TopicLog, availability?: Availability) => {
  const limits = { ...standLimits, maxReplayEvents: 100_000 };
  const { hub } = createStand(log, availability ? { availability, limits } : { limits });
  closers.unshift(() => hub.close());
  return { hub, log };
};

describeLateJoin('over the log in memory', async () => {
  const log = createMemoryLog(logLimits);
  closers.unshift(() => log.close());
  return { instances: [instance(log), instance(log)], settle: async () => {} };
});

describeLateJoin('over the log in Redis', async () => {
  const connections = [redis.url, redis.url].map((url): RedisConnection => {
    const connection = connectRedis({ urls: [url], log: pino({ level: 'silent' }) });
    closers.push(() => connection.close());
    return connection;
  });
  const isReady = () => connections.every(({ state, delivery }) => state === 'ready' && delivery === 'ready');
  await eventually(isReady);
  return {
    instances: connections.map((connection) =>
      instance(createRedisLog({ redis: connection, ...logLimits }), redisAvailability(connection)),
    ),
    async disturb() {
      await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await eventually(() => !isReady());
      await eventually(isReady);
    },
    async settle() {
      await eventually(isReady);
    },
  };
});
