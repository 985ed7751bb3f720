import { createPublisher } from '@usher/client/publisher';
import { pause } from '../call.ts';
import type { Findings } from '../finding.ts';
import type { Random } from '../random.ts';
import type { Promises } from './promises.ts';

export interface WorkerOptions {
  /** Stands in front of every key; the number of the event follows. */
  readonly id: string;
  /** Where a load balancer would be. */
  readonly url: string;
  readonly token: string;
  readonly topic: string;
  readonly random: Random;
  /** Events a second, on the average. */
  readonly rate: number;
  readonly promises: Promises;
  readonly findings: Findings;
  readonly stopping: AbortSignal;
}

/** Publishes as a worker does: by the client's own publisher, in bursts that wait for no answer. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { id, url, token, topic, random, rate, promises, findings, stopping } = options;
  const publisher = createPublisher({
    url,
    token,
    random: random.next,
    timeoutMs: 8_000,
    retry: { initialMs: 50, maxMs: 500 },
    closeTimeoutMs: 60_000,
    onError: ({ code }) => findings.add('protocol', { topic, who: id }, `the publisher gave an event up: ${code}`),
  });
  let count = 0;
  while (!stopping.aborted) {
    const burst = random.int(1, 10);
    for (let at = 0; at < burst; at += 1) {
      count += 1;
      const key = `${id}.${count}`;
      publisher.publish({ topic, name: 'audited', data: { k: key } }).then(
        ({ position }) => promises.promise(topic, position ?? '', key),
        // Told to `onError`.
        () => {},
      );
    }
    await pause((burst / rate) * 1_000 * random.between(0.5, 1.5), stopping);
    await publisher.room();
  }
  await publisher.close();
}
