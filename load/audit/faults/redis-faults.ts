import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../../../test/harness/wait.ts';
import { pause } from '../call.ts';
import type { Fault, FaultContext } from './fault.ts';

export const freezeRedis: Fault = async ({ redis, random, signal }) => {
  // Now and then past the server's own timeout of 5 s.
  const ms = random.chance(0.25) ? random.int(5_500, 7_000) : random.int(300, 4_000);
  redis.freeze();
  await pause(ms, signal);
  redis.thaw();
  return { note: `SIGSTOP for ${ms} ms` };
};

export const restartRedis: Fault = async ({ redis, random, signal }) => {
  const ms = random.int(0, 2_000);
  await redis.kill();
  await pause(ms, signal);
  await redis.start();
  return { note: `SIGKILL, back with all its data after ${ms} ms` };
};

/** Longest that Redis refuses writes while its logs are read for the last time. */
const pauseMs = 20_000;

/** Reads what is about to be lost: promises and readers are compared with it afterwards. */
const photograph = async ({ redis, log }: FaultContext): Promise<void> => {
  await redis.command('CLIENT', 'PAUSE', String(pauseMs), 'WRITE');
  await log.readAll();
  log.expectLoss();
};

export const emptyRedis: Fault = async (context) => {
  await photograph(context);
  await context.redis.restart({ keepData: false });
  return { note: 'SIGKILL, back without data' };
};

export const rollBackRedis: Fault = async (context) => {
  const { redis, fleet, random, signal } = context;
  const ms = random.int(300, 3_000);
  await redis.command('SAVE');
  await pause(ms, signal);
  await photograph(context);
  const { dir } = (await redis.command('CONFIG', 'GET', 'dir')) as { readonly dir: string };
  // Nobody may write to the empty one that comes first: what is promised there would be gone a moment later.
  for (const instance of fleet.instances) instance.redis.cut();
  await redis.kill();
  await rm(join(dir, 'appendonlydir'), { recursive: true, force: true });
  await redis.start();
  await redis.command('DEBUG', 'RELOAD', 'NOSAVE');
  await redis.command('BGREWRITEAOF');
  const rewriting = /aof_rewrite_(in_progress|scheduled):1/;
  await eventually(async () => !rewriting.test(String(await redis.command('INFO', 'persistence'))), {
    what: 'the copy to be on disk',
  });
  for (const instance of fleet.instances) instance.redis.pass();
  return { note: `SIGKILL, back with a copy ${ms} ms old` };
};

/** Kills connections of one kind a few times over. */
const killClients =
  (type: 'pubsub' | 'normal'): Fault =>
  async ({ redis, random, signal }) => {
    const times = random.int(1, 4);
    for (let time = 1; time <= times; time += 1) {
      await redis.command('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
      if (time < times) await pause(random.int(50, 1_200), signal);
    }
    return { note: `CLIENT KILL TYPE ${type}, ${times} times` };
  };

export const killPubSub = killClients('pubsub');
export const killNormal = killClients('normal');
