import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type Redis, startRedis } from '../../../test/harness/redis.ts';
import { eventually } from '../../../test/harness/wait.ts';
import { startLineProxy } from '../../../test/operate/line-proxy.ts';
import { createLog } from '../log.ts';
import { connectRedis } from '../redis/connect.ts';
import { createDeliveryProbe } from './delivery-probe.ts';

let redis: Redis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

const log = createLog({ level: 'silent' });

test('a probe that comes back proves the line', async () => {
  const connection = connectRedis({ urls: [redis.url], log });
  const probe = createDeliveryProbe({ redis: connection, log, channels: 4 });
  expect({ ok: probe.ok, ageMs: probe.ageMs }).toEqual({ ok: false, ageMs: null });
  await eventually(() => probe.ok);
  let okWhenReady: boolean | undefined;
  connection.onDelivery((state) => {
    if (state === 'ready') okWhenReady = probe.ok;
  });
  connection.restartDelivery('the test says so');
  await eventually(() => probe.ok);
  expect(okWhenReady, 'what the line before delivered says nothing about this one').toBe(false);
  probe.close();
  await connection.close();
});

test('an event loop that stood still does not condemn the line', async () => {
  await using proxy = await startLineProxy(redis.port);
  proxy.wedge('late');
  const connection = connectRedis({ urls: [`redis://127.0.0.1:${proxy.port}`], log });
  await eventually(() => connection.state === 'ready' && connection.delivery === 'ready');
  let stalls = 0;
  let restarts = 0;
  const stalling = Object.create(connection, {
    send: {
      value: async (...call: Parameters<typeof connection.send>) => {
        const answer = await connection.send(...call);
        // The word is on its way back while nothing is read, and every timer falls due.
        setTimeout(() => {
          const until = performance.now() + 150;
          while (performance.now() < until);
          stalls += 1;
        });
        return answer;
      },
    },
    restartDelivery: {
      value: () => {
        restarts += 1;
      },
    },
  }) as typeof connection;
  const probe = createDeliveryProbe({ redis: stalling, log, intervalMs: 10, timeoutMs: 100 });
  await eventually(() => stalls >= 10);
  expect(restarts).toBe(0);
  probe.close();
  await connection.close();
});
