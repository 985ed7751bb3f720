import type { PollAnswer } from '@usher/contracts';
import { call, pause } from '../call.ts';
import type { Random } from '../random.ts';
import type { Fleet } from '../service/fleet.ts';
import type { Reading } from './reading.ts';

export interface PollerOptions {
  readonly fleet: Fleet;
  readonly token: string;
  readonly random: Random;
  readonly reading: Reading;
  readonly signal: AbortSignal;
  /** How long a server may hold a poll. @default 1000 */
  readonly waitMs?: number;
}

/** Reads one topic by polls, each at whichever instance it meets. */
export function startPoller({ fleet, token, random, reading, signal, waitMs = 1_000 }: PollerOptions): void {
  const run = async (): Promise<void> => {
    let lastEventId: string | undefined;
    while (!signal.aborted && !reading.ended) {
      const input = { topic: reading.topic, waitMs, limit: 200, ...(lastEventId !== undefined && { lastEventId }) };
      const search = encodeURIComponent(JSON.stringify(input));
      const answer = await call<PollAnswer>(`${fleet.any(random).url}/trpc/topic.poll?input=${search}`, {
        method: 'GET',
        token,
        timeoutMs: waitMs + 8_000,
        signal,
      });
      if (answer.data === undefined) {
        await pause(random.between(50, 500), signal);
        continue;
      }
      for (const { id, item } of answer.data.items) reading.take(id, item);
      ({ lastEventId } = answer.data);
    }
  };
  void run();
}
