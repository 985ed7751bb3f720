import { describe, expect, test } from 'bun:test';
import type { TopicLog } from '../topics/log.ts';
import type { Hub } from './hub.ts';
import { numbered, type Reader, readTopic } from './stand.fixture.ts';

export interface LateJoinHarness {
  /** Two instances over one store. */
  readonly instances: readonly { readonly hub: Hub; readonly log: TopicLog }[];
  /** Spoils delivery once, and resolves when it is whole again; absent where nothing can be spoilt. */
  disturb?(): Promise<void>;
  /** Every instance has what it needs again. */
  settle(): Promise<void>;
}

/** Numbers that look random and are the same in every run. */
function sequence(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** Readers that come at any moment, while two instances publish, see every event once and in order. */
export function describeLateJoin(name: string, make: () => Promise<LateJoinHarness>): void {
  describe(name, () => {
    test.each([
      ['', false],
      [' while delivery is disturbed', true],
    ])('hundreds of late joiners see neither gap nor double%s', async (_, disturbs) => {
      const { instances, disturb, settle } = await make();
      if (disturbs && !disturb) return;
      const topic = `public:${disturbs}`;
      const random = sequence(disturbs ? 7 : 42);
      const readers: Reader[] = [];
      const minEvents = 1_500;
      let published = 0;
      let disturbances = 0;
      const isOver = (): boolean => published >= minEvents && (!disturbs || disturbances >= 4);

      const publishing = instances.map(async ({ log }) => {
        while (!isOver()) {
          const numbers = Array.from({ length: 1 + random(4) }, () => {
            published += 1;
            return published;
          });
          await log.append(topic, numbered(numbers)).catch(() => {
            published -= numbers.length;
            return tick();
          });
          if (disturbs || random(4) === 0) await tick();
        }
      });
      const joining = (async () => {
        while (readers.length < 400 || (!isOver() && readers.length < 2_000)) {
          const { hub } = instances[random(2)] as (typeof instances)[number];
          const earlier = readers[random(readers.length)]?.lastId?.split('~')[0];
          const position = random(3) === 0 ? earlier : undefined;
          // Some are slow for a moment, as sockets are.
          const pace = () => (random(40) === 0 ? tick() : undefined);
          const options = { position, history: random(2) * 40, pace, maxReplayEvents: 100_000 };
          try {
            readers.push(await readTopic(hub, topic, options));
          } catch {
            await tick();
          }
          if (random(5) === 0) readers[random(readers.length)]?.leave();
          if (disturbs || random(3) === 0) await tick();
        }
      })();
      const disturbing = (async () => {
        for (; disturbs && disturbances < 4; disturbances += 1) await disturb?.();
      })();
      await Promise.all([...publishing, joining, disturbing]);
      const survivors = await Promise.allSettled(readers.map((reader) => reader.joined));
      await settle();
      const { last } = await (instances[0] as (typeof instances)[number]).log.head(topic);
      const behind = () => instances.some(({ hub }) => (hub.find(topic)?.position ?? last) !== last);
      while (behind()) await tick();

      const all = { after: undefined, before: undefined, limit: 1_000_000, reverse: false, maxBytes: 1e9 };
      const { entries } = await (instances[0] as (typeof instances)[number]).log.range(topic, all);
      const logged = entries.map(({ tail }) => Number(tail.split(':')[2]));
      expect(logged.length).toBeGreaterThanOrEqual(minEvents);
      expect(new Set(logged).size).toBe(logged.length);
      const at = new Map(logged.map((n, index) => [n, index]));
      let complete = 0;
      for (const [index, reader] of readers.entries()) {
        expect(reader.told).not.toContain('reset');
        const seen = reader.items.flatMap(({ item }) => {
          if (item.type === 'snapshot') return item.events.map((event) => event.data as number);
          return item.type === 'event' ? [item.event.data as number] : [];
        });
        if (seen.length === 0) continue;
        const start = at.get(seen[0] as number) as number;
        expect(seen).toEqual(logged.slice(start, start + seen.length));
        if (survivors[index]?.status === 'fulfilled' && start + seen.length === logged.length) complete += 1;
      }
      // Those who stayed have everything up to the end.
      expect(complete).toBeGreaterThan(100);
    });
  });
}
