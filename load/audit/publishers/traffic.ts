import { type JobsOptions, runJobs } from './jobs.ts';
import type { Promises } from './promises.ts';
import { runStream } from './stream.ts';
import { runWorker } from './worker.ts';

/** Busy topics, quiet ones, and one of large events. */
export interface TrafficTopics {
  readonly hot: readonly string[];
  readonly cool: readonly string[];
  readonly bulk: string;
}

export interface TrafficOptions extends JobsOptions {
  readonly topics: TrafficTopics;
  /** Events a second on the busy topics together. */
  readonly rate: number;
  readonly promises: Promises;
  readonly token: string;
  /** Where a load balancer would be. */
  readonly url: string;
}

/** Events a second of a quiet topic. */
const coolRate = 0.5;
/** Share of what is published to busy topics that prefers delivery to truth. */
const localShare = 0.1;
const maxBatch = 12;

/** Publishes to all topics until it is told to stop; ends when everything is answered and every job's readers know. */
export async function runTraffic(options: TrafficOptions): Promise<void> {
  const { topics, random, publisherOf, stopping, promises, findings, token, url } = options;
  const rate = options.rate / topics.hot.length;

  const hot = topics.hot.flatMap((topic, at) => [
    ...[1, 2, 3].map((number) => {
      const id = `hot${at + 1}p${number}`;
      const share = { topic, rate: rate / 4, maxBatch, withState: false, localShare };
      return runStream({ ...share, publisher: publisherOf(id), random: random.fork(id), stopping });
    }),
    runWorker({
      id: `worker${at + 1}`,
      url,
      token,
      topic,
      random: random.fork(`worker${at + 1}`),
      rate: rate / 4,
      promises,
      findings,
      stopping,
    }),
  ]);
  const cool = topics.cool.map((topic, at) => {
    const id = `cool${at + 1}`;
    // One event a request, so that each position has a state of its own.
    const share = { topic, rate: coolRate, maxBatch: 1, withState: true, localShare: 0 };
    return runStream({ ...share, publisher: publisherOf(id), random: random.fork(id), stopping });
  });
  await Promise.all([...hot, ...cool, runJobs(options)]);
}
