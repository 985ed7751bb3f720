import { pause } from '../call.ts';
import type { Findings } from '../finding.ts';
import type { LogReader } from '../logs/log-reader.ts';
import type { Random } from '../random.ts';
import type { Crowd } from '../readers/crowd.ts';
import type { Reading } from '../readers/reading.ts';
import type { Tally } from '../readers/tally.ts';
import type { Publisher } from './publisher.ts';

export interface JobsOptions {
  readonly slots: number;
  readonly crowd: Crowd;
  readonly log: LogReader;
  readonly tally: Tally;
  readonly findings: Findings;
  readonly publisherOf: (id: string) => Publisher;
  readonly random: Random;
  /** No new job begins. */
  readonly stopping: AbortSignal;
  /** Nothing is waited for any more. */
  readonly signal: AbortSignal;
  /** How long after its end all readers of a job must have been told. */
  readonly patienceMs: number;
}

interface OverJob {
  readonly topic: string;
  readonly lastKey: string;
  readonly readings: readonly Reading[];
  /** Losses of Redis that were expected when it began. */
  readonly losses: number;
}

/** Topics that end: each slot runs one job after the other, with readers who must all be told of its end. */
export async function runJobs(options: JobsOptions): Promise<void> {
  const { slots, crowd, log, tally, findings, publisherOf, stopping, signal } = options;

  const settle = ({ topic, lastKey, readings, losses }: OverJob): void => {
    crowd.leaveJob(readings);
    for (const reading of readings) {
      // A log that was lost or set back holds no end that could be told.
      if (!reading.ended && log.losses === losses) {
        findings.add('gap', reading, `the end was not told; it stands at ${reading.position}`);
      } else if (reading.ended && log.ledger(topic).find(reading.position ?? '')?.key !== lastKey) {
        findings.add('gap', reading, `it was told the end at ${reading.position}, where the log has none`);
      }
      tally.settle(reading);
    }
    log.leave(topic);
  };

  const run = async (slot: number): Promise<void> => {
    const random = options.random.fork(`job-${slot}`);
    const over: Promise<void>[] = [];
    for (let turn = 1; !stopping.aborted; turn += 1) {
      const topic = `job:${slot}-${turn}`;
      const { losses } = log;
      log.ledger(topic);
      const publisher = publisherOf(`job${slot}t${turn}`);
      const readings = crowd.followJob(slot, topic);
      const count = random.int(10, 60);
      for (let at = 1; at <= count && !stopping.aborted; at += 1) {
        await publisher.publish({ topic, events: [{ name: 'file_completed', data: { file: `f${at}` } }] });
        await pause(random.between(10, 150), stopping);
      }
      await publisher.publish({ topic, events: [{ name: 'job_completed', data: {} }], withState: false });
      const lastKey = publisher.lastKey;
      // Who comes after the end still gets what there was, and is told.
      const late = random.chance(0.3) ? crowd.followJob(slot, topic) : [];
      const job = { topic, lastKey, readings: [...readings, ...late], losses };
      over.push(told(job).then(() => settle(job)));
      await pause(random.between(200, 1_500), stopping);
    }
    await Promise.all(over);
  };

  /** Until all readers know, or long enough. */
  const told = async ({ readings }: OverJob): Promise<void> => {
    const deadline = performance.now() + options.patienceMs;
    while (performance.now() < deadline && !signal.aborted && readings.some(({ ended }) => !ended)) {
      await pause(100, signal);
    }
    // What the readers know may not have been read from the log yet, and Redis may be away.
    const isRead = () =>
      log.readAll().then(
        () => true,
        () => false,
      );
    while (!signal.aborted && !(await isRead())) await pause(100, signal);
  };

  await Promise.all(Array.from({ length: slots }, (_, slot) => run(slot)));
}
