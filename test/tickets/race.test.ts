import { describe, expect, test } from 'bun:test';
import { startRedis } from '../harness/redis.ts';
import { opens, passes, startReady, Tickets } from './fleet.ts';
import { knock } from './handshake.ts';

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

describe.each([
  ['two instances on Bun', 'bun', 'bun', 500],
  ['one on Bun and one on Deno', 'bun', 'deno', 100],
] as const)('%s', (_, firstRuntime, secondRuntime, rounds) => {
  test(`race one ticket ${rounds} times, two attempts at each: exactly one is served each time`, async () => {
    await using redis = await startRedis();
    const env = { REDIS_URL: redis.url };
    await using first = await startReady(env, { runtime: firstRuntime });
    await using second = await startReady(env, { runtime: secondRuntime });
    const tickets = new Tickets();

    const race = async (round: number): Promise<void> => {
      const ticket = await tickets.issue(round % 2 === 0 ? first : second, `racer-${round % 7}`);
      const attempts = await Promise.all([first, second, second, first].map((instance) => knock(instance, ticket)));
      const ends = await Promise.all(attempts.map((attempt) => attempt.go()));
      expect(
        ends.filter((end) => end.served),
        JSON.stringify(ends),
      ).toHaveLength(1);
      for (const end of ends) {
        if (end.served) continue;
        expect(end.reason).toBe('TICKET_INVALID');
        expect([101, 401]).toContain(end.status);
      }
      for (const attempt of attempts) attempt.close();
    };
    const width = 20;
    for (let round = 0; round < rounds; round += width) {
      await Promise.all(Array.from({ length: width }, (_unused, at) => race(round + at)));
    }

    expect(await opens(first, second)).toEqual({ established: rounds });
    const sources = await passes(first, second);
    expect(sources.redis).toBe(rounds);
    expect(total(sources)).toBe(rounds * 4);
    tickets.expectUnseen([first, second]);
    const left = ((await redis.command('KEYS', '*{t:*')) as string[]).filter((name) => !name.endsWith(':established'));
    expect(left).toEqual([]);
  }, 60_000);
});
