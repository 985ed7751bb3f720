/**
 * What it costs the server to give one event to many: CPU per delivered event and memory per connection, beside a bare
 * Bun `publish` server in the same run.
 *
 *     bun run bench fanout [--smoke]
 *
 * The whole path is in the figure: the publish procedure over HTTP with its token, the append to a real Redis, its way
 * back, continuity, and the writes to real sockets. The subscribers, the publisher and Redis are other processes.
 */
import { startRedis } from '../../test/harness/redis.ts';
import { mintToken, publisherToken } from '../../test/harness/tokens.ts';
import { startBare } from './bare.ts';
import { compare, cpuPerEvent, type Side } from './compare.ts';
import { type Crowd, startThreads } from './crowd.ts';
import { startInstance } from './instance.ts';
import { printMachine } from './machine.ts';
import { memoryPerConnection } from './memory.ts';
import { type Publish, publishBare, publishUsher } from './publish.ts';

const smoke = process.argv.includes('--smoke');
const subscribers = smoke ? 20 : 1_000;
const rounds = smoke ? 1 : 5;
/** A round alternates between the two servers this often. */
const blocks = smoke ? 2 : 16;
const burstsPerBlock = 4;
const topic = 'public:bench';

printMachine();
await using redis = await startRedis();
await using usher = await startInstance(redis);
await using bare = await startBare('./bare-publish.ts');
using threads = startThreads();

const tokens = await Promise.all(Array.from({ length: subscribers }, (_, at) => mintToken({ userId: `reader-${at}` })));
const usherCrowd = threads.crowd('usher');
const bareCrowd = threads.crowd('bare');
await usherCrowd.seat(tokens.map((token) => ({ url: usher.url, token, topics: [topic] })));
await bareCrowd.seat(tokens.map(() => ({ url: bare.url, topics: [] })));

const toUsher = publishUsher({ url: usher.url, token: await publisherToken(), topic });
const toBare = publishBare(bare.url);

/** Bursts, each of which has arrived everywhere before the next leaves. */
const bursts = (name: string, pid: number, crowd: Crowd, publish: Publish, burst: number): Side => ({
  name,
  pids: [pid],
  async work() {
    for (let at = 0; at < burstsPerBlock; at += 1) await crowd.receive(burst, () => publish(burst));
    return burstsPerBlock * burst * crowd.size;
  },
});

const cases = [
  { title: '1 event a burst', burst: 1, how: 'one', aim: 1.25 },
  { title: '20 events a burst, in one call', burst: 20, how: 'many', aim: 1.5 },
  { title: '20 events a burst, in 20 calls at once', burst: 20, how: 'one', aim: 1.5 },
] as const;
for (const { title, burst, how, aim } of cases) {
  await compare({
    title: `${title}, ${subscribers} subscribers`,
    sides: [
      bursts('usher', usher.pid, usherCrowd, toUsher[how], burst),
      bursts('bare Bun', bare.pid, bareCrowd, toBare[how], burst),
    ],
    figures: [cpuPerEvent(aim)],
    rounds,
    blocks,
  });
}
await Promise.all([usherCrowd.leave(), bareCrowd.leave()]);
await memoryPerConnection({ threads, redis, steps: smoke ? [20, 40] : [1_000, 4_000], topic });
process.exit(0);
