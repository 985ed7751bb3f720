/**
 * Whether cost stays flat as topics grow, and whether a second instance is worth having.
 *
 *     bun run bench scale [--smoke]
 *
 * 1. Events spread over 10,000 topics with one subscriber each, beside as many events of one topic with one subscriber.
 * 2. Two instances with 1,000 subscribers each of one topic, beside one instance with 1,000.
 */
import { availableParallelism } from 'node:os';
import { type Redis, startRedis } from '../../test/harness/redis.ts';
import { mintToken, publisherToken } from '../../test/harness/tokens.ts';
import { compare, cpuPerEvent, type Side } from './compare.ts';
import { startThreads, type Threads } from './crowd.ts';
import { startInstance } from './instance.ts';
import { printMachine } from './machine.ts';
import { publishUsher } from './publish.ts';
import type { Seat } from './subscriber-worker.ts';

/** A side with servers of its own, which end with this process if not before. */
interface Instances extends Side {
  end(): Promise<void>;
}

const smoke = process.argv.includes('--smoke');
const rounds = smoke ? 1 : 5;
const token = await publisherToken();

/** As many users as seats: a user has a bound of connections. */
const seatsAt = (url: string, topics: readonly (readonly string[])[]): Promise<readonly Seat[]> =>
  Promise.all(
    topics.map(async (these, at) => ({ url, token: await mintToken({ userId: `user-${at}` }), topics: these })),
  );

const chunks = <T>(values: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(values.length / size) }, (_, at) => values.slice(at * size, (at + 1) * size));

async function manyTopics(redis: Redis, threads: Threads): Promise<void> {
  const count = smoke ? 200 : 10_000;
  const topicsPerSocket = 100;
  /** Calls under way at once. */
  const atOnce = 20;
  const eventsPerBlock = smoke ? 100 : 500;

  const side = async (name: string, topics: readonly string[]): Promise<Instances> => {
    const server = await startInstance(redis);
    const crowd = threads.crowd(name, 1);
    await crowd.seat(await seatsAt(server.url, chunks(topics, topicsPerSocket)));
    let next = 0;
    return {
      name,
      pids: [server.pid],
      async work() {
        let left = eventsPerBlock;
        const inTurn = async (): Promise<void> => {
          while (left-- > 0) {
            const topic = topics[next++ % topics.length] ?? '';
            await publishUsher({ url: server.url, token, topic }).one(1);
          }
        };
        const each = eventsPerBlock / crowd.size;
        await crowd.receive(each, () => Promise.all(Array.from({ length: atOnce }, inTurn)));
        return eventsPerBlock;
      },
      async end() {
        await crowd.leave();
        await server.kill();
      },
    };
  };
  const many = await side(
    `${count} topics`,
    Array.from({ length: count }, (_, at) => `public:many-${at}`),
  );
  const one = await side('1 topic', ['public:only']);
  await compare({
    title: `Events of ${count} topics with one subscriber each, beside as many events of one topic with one`,
    sides: [many, one],
    figures: [cpuPerEvent(1.5)],
    rounds,
    blocks: smoke ? 2 : 6,
  });
  await many.end();
  await one.end();
}

async function twoInstances(redis: Redis, threads: Threads): Promise<void> {
  const subscribers = smoke ? 20 : 1_000;
  /** Published one after the other, so that each is a turn and a write of its own. */
  const eventsPerBlock = smoke ? 5 : 20;

  const side = async (name: string, instances: number): Promise<Instances> => {
    const topic = `public:${instances}-instances`;
    const servers = await Promise.all(Array.from({ length: instances }, () => startInstance(redis)));
    const crowd = threads.crowd(name);
    for (const { url } of servers) {
      await crowd.seat(
        await seatsAt(
          url,
          Array.from({ length: subscribers }, () => [topic]),
        ),
      );
    }
    const publishers = servers.map(({ url }) => publishUsher({ url, token, topic }));
    return {
      name,
      pids: servers.map(({ pid }) => pid),
      async work() {
        await crowd.receive(eventsPerBlock, async () => {
          for (let at = 0; at < eventsPerBlock; at += 1) await publishers[at % instances]?.one(1);
        });
        return eventsPerBlock * crowd.size;
      },
      async end() {
        await crowd.leave();
        await Promise.all(servers.map((server) => server.kill()));
      },
    };
  };
  const cores = availableParallelism();
  const enough = cores < 4 ? `; these are ${cores} cores, where 4 are wanted` : '';
  const two = await side('two instances', 2);
  const one = await side('one', 1);
  await compare({
    title: `One topic on two instances with ${subscribers} subscribers each, beside one instance with ${subscribers}${enough}`,
    sides: [two, one],
    figures: [
      {
        unit: 'deliveries per second by the clock',
        of: ({ amount, wallUs }) => (amount / wallUs) * 1e6,
        aim: { atLeast: 1.8 },
      },
      {
        // What the wall clock cannot tell where other programs, or the readers, want the same cores.
        unit: 'deliveries per second of CPU of the busiest instance',
        of: ({ amount, busiestUs }) => (amount / busiestUs) * 1e6,
        aim: { atLeast: 1.8 },
      },
    ],
    rounds,
    blocks: smoke ? 2 : 6,
  });
  await two.end();
  await one.end();
}

printMachine();
await using redis = await startRedis();
using threads = startThreads();
await manyTopics(redis, threads);
await twoInstances(redis, threads);
process.exit(0);
