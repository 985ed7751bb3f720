import type { Redis } from '../../test/harness/redis.ts';
import { mintToken } from '../../test/harness/tokens.ts';
import { startBare } from './bare.ts';
import type { Crowd, Threads } from './crowd.ts';
import { startInstance } from './instance.ts';
import { rssBytes } from './machine.ts';
import type { Seat } from './subscriber-worker.ts';

export interface MemoryOptions {
  readonly threads: Threads;
  readonly redis: Redis;
  /** Numbers of connections at which memory is read, rising. */
  readonly steps: readonly number[];
  readonly topic: string;
}

/** Code that has run once has its memory already: these connections come and go before the first reading. */
const warmUp = 200;
/** The collector runs when a process is quiet, and used tickets are kept for 10 s. */
const settleMs = 12_000;
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, settleMs));

/** Prints how much memory each subscribed connection adds to a fresh server, beside a bare one. */
export async function memoryPerConnection({ threads, redis, steps, topic }: MemoryOptions): Promise<void> {
  await using usher = await startInstance(redis);
  await using bare = await startBare('./bare-publish.ts');
  const users = warmUp + (steps.at(-1) ?? 0);
  const tokens = await Promise.all(Array.from({ length: users }, (_, at) => mintToken({ userId: `holder-${at}` })));
  const usherSeats: Seat[] = tokens.map((token) => ({ url: usher.url, token, topics: [topic] }));
  const bareSeats: Seat[] = tokens.map(() => ({ url: bare.url, topics: [] }));

  const seatBoth = async (crowds: readonly [Crowd, Crowd], from: number, to: number): Promise<void> => {
    await crowds[0].seat(usherSeats.slice(from, to));
    await crowds[1].seat(bareSeats.slice(from, to));
  };
  const first = [threads.crowd('usher warm-up'), threads.crowd('bare warm-up')] as const;
  await seatBoth(first, 0, warmUp);
  await Promise.all(first.map((crowd) => crowd.leave()));
  await settle();

  const empty = { usher: rssBytes(usher.pid), bare: rssBytes(bare.pid) };
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  console.log('memory per subscribed connection, kB of RSS above the empty server');
  console.log(`  empty   usher ${megabytes(empty.usher)} MB   bare Bun ${megabytes(empty.bare)} MB`);
  const crowds = [threads.crowd('usher memory'), threads.crowd('bare memory')] as const;
  for (const [at, step] of steps.entries()) {
    await seatBoth(crowds, warmUp + (steps[at - 1] ?? 0), warmUp + step);
    await settle();
    const each = (now: number, before: number): number => (now - before) / step / 1_000;
    const usherKb = each(rssBytes(usher.pid), empty.usher);
    const bareKb = each(rssBytes(bare.pid), empty.bare);
    const aim = `aim ≤ 20: ${usherKb <= 20 ? 'met' : 'MISSED'}`;
    console.log(`  ${step}   usher ${usherKb.toFixed(1)}   bare Bun ${bareKb.toFixed(1)}   (${aim})`);
  }
  await Promise.all(crowds.map((crowd) => crowd.leave()));
}
