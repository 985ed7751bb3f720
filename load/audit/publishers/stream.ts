import { pause } from '../call.ts';
import type { Random } from '../random.ts';
import type { Publisher } from './publisher.ts';

export interface StreamOptions {
  readonly topic: string;
  readonly publisher: Publisher;
  readonly random: Random;
  /** Events a second, on the average and while nothing is broken. */
  readonly rate: number;
  /** Most events of one request. */
  readonly maxBatch: number;
  /** Each event brings a state that names it. */
  readonly withState: boolean;
  /** Share of requests that prefer delivery to truth. */
  readonly localShare: number;
  readonly stopping: AbortSignal;
}

const padding = 'x'.repeat(400);

/** Publishes to one topic, one request after the other, until it is told to stop. */
export async function runStream(options: StreamOptions): Promise<void> {
  const { topic, publisher, random, rate, maxBatch, withState, localShare, stopping } = options;
  await pause(random.between(0, 1_000 / rate), stopping);
  while (!stopping.aborted) {
    const count = random.chance(0.3) ? random.int(1, maxBatch) : 1;
    const events = Array.from({ length: count }, () => ({
      name: 'audited',
      data: { pad: padding.slice(0, random.int(0, 200)) },
    }));
    await publisher.publish({ topic, events, withState, durable: !random.chance(localShare) });
    await pause((count / rate) * 1_000 * random.between(0.5, 1.5), stopping);
  }
}
