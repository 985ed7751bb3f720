/**
 * How many tickets one process issues, and what one costs, beside a bare Bun server that sets a random string in the same
 * Redis.
 *
 *     bun run bench ticket [--smoke]
 *
 * Each user brings a token of its own, as in life: nothing about them is known before.
 */
import { startRedis } from '../../test/harness/redis.ts';
import { mintToken } from '../../test/harness/tokens.ts';
import { startBare } from './bare.ts';
import { compare, type Side } from './compare.ts';
import { startInstance } from './instance.ts';
import { printMachine } from './machine.ts';

const smoke = process.argv.includes('--smoke');
/** Requests under way at once: enough that the server never waits for the next. */
const atOnce = 32;
const perBlock = smoke ? 64 : 1_000;
const users = smoke ? 100 : 5_000;

printMachine();
await using redis = await startRedis();
await using usher = await startInstance(redis, { TICKETS_PER_MINUTE: '1000000' });
await using bare = await startBare('./bare-ticket.ts', { REDIS_URL: redis.url });
const tokens = await Promise.all(Array.from({ length: users }, (_, at) => mintToken({ userId: `user-${at}` })));

let asked = 0;
async function issue(url: string): Promise<void> {
  const token = tokens[asked++ % tokens.length];
  const response = await fetch(`${url}/ws-ticket`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  const answer = await response.text();
  if (!response.ok || !answer.includes('"ticket"')) throw new Error(`No ticket: ${response.status} ${answer}`);
}

const issuing = (name: string, url: string, pid: number): Side => ({
  name,
  pids: [pid],
  async work() {
    let left = perBlock;
    const inTurn = async (): Promise<void> => {
      while (left-- > 0) await issue(url);
    };
    await Promise.all(Array.from({ length: atOnce }, inTurn));
    return perBlock;
  },
});

await compare({
  title: `Tickets issued, ${atOnce} requests at once, ${users} users`,
  sides: [issuing('usher', usher.url, usher.pid), issuing('bare Bun + SET', bare.url, bare.pid)],
  figures: [
    { unit: 'tickets per second', of: ({ amount, wallUs }) => (amount / wallUs) * 1e6, aim: { atLeast: 0.5 } },
    {
      unit: 'tickets per second of one core of the server',
      of: ({ amount, cpuUs }) => (amount / cpuUs) * 1e6,
      aim: { atLeast: 0.5 },
    },
  ],
  rounds: smoke ? 1 : 7,
  blocks: smoke ? 2 : 6,
});
process.exit(0);
