import { startRedis } from '../../test/harness/redis.ts';
import { publisherToken } from '../../test/harness/tokens.ts';
import { pause } from './call.ts';
import { gatherCrowd } from './crowd.ts';
import type { FaultKind } from './fault.ts';
import { createFindings } from './finding.ts';
import { type Fleet, startFleet } from './fleet.ts';
import { runJobs } from './jobs.ts';
import { startLogReader } from './log-reader.ts';
import type { AuditOptions } from './options.ts';
import { createPromises } from './promises.ts';
import { createPublisher, type Publisher } from './publisher.ts';
import { createRandom } from './random.ts';
import { awaitRecovery } from './recovery.ts';
import type { Recovery, Report } from './report.ts';
import { runSchedule } from './schedule.ts';
import { runStream } from './stream.ts';
import { createTally } from './tally.ts';

const hotTopics = 4;
const coolTopics = 24;
const jobSlots = 6;
/** Small, so that a busy topic forgets its beginning within seconds. */
const keptEvents = 400;
/** Who is not back by then is behind, and shown. */
const recoveryPatienceMs = 40_000;

/** Limits that stand in the way of a crowd on one machine, and times short enough for a run of minutes. */
const serverVariables: Readonly<Record<string, string>> = {
  TOPIC_MAX_EVENTS: String(keptEvents),
  TOPIC_CLOSE_GRACE_MS: '120000',
  TICKETS_PER_MINUTE: '1000000',
  PUBLISHES_PER_SECOND: '1000000',
  MAX_CONNECTIONS_PER_USER: '100000',
  HEARTBEAT_INTERVAL_MS: '2000',
  PONG_TIMEOUT_MS: '4000',
  WRITE_TIMEOUT_MS: '3000',
  DRAIN_TIMEOUT_MS: '5000',
};

/** One run of the auditor. `onLogs` gets what each server printed. */
export async function runAudit(
  options: AuditOptions,
  onLogs: (name: string, lines: readonly string[]) => void = () => {},
): Promise<Report> {
  const { seed, onProgress } = options;
  const random = createRandom(seed);
  const findings = createFindings();
  const stopping = new AbortController();
  const over = new AbortController();
  const { signal } = over;

  await using redis = await startRedis({ persist: true, flags: ['--enable-debug-command', 'yes'] });
  await using fleet = await startFleet({
    size: options.instances,
    redisPort: redis.port,
    env: { ...serverVariables, ...options.env },
  });
  await using log = startLogReader({ redisPort: redis.port, findings });
  const promises = createPromises(log, findings);
  const tally = createTally(log, keptEvents);

  const token = await publisherToken({ expiresInSeconds: 100_000 });
  const publisherOf = (id: string): Publisher =>
    createPublisher({ id, fleet, token, random: random.fork(id), promises, findings, signal });

  const hot = Array.from({ length: hotTopics }, (_, at) => `public:hot-${at + 1}`);
  const cool = Array.from({ length: coolTopics }, (_, at) => `public:cool-${at + 1}`);
  const bulk = 'public:bulk';
  for (const topic of [...hot, ...cool, bulk]) log.ledger(topic);
  await using crowd = await gatherCrowd({
    fleet,
    size: options.subscribers,
    hot,
    cool,
    bulk,
    jobSlots,
    random,
    findings,
  });

  const marker = publisherOf('mark');
  const recover = () =>
    awaitRecovery({ crowd, publisher: marker, topics: [...hot, ...cool], patienceMs: recoveryPatienceMs, signal });
  const first = await recover();
  onProgress('seconds' in first ? `all readers live after ${first.seconds.toFixed(2)} s` : `behind: ${first.behind}`);

  const stream = (topic: string, at: number, rate: number, maxBatch: number, localShare: number): Promise<void> => {
    const id = `${topic.slice('public:'.length)}p${at}`;
    const withState = maxBatch === 1;
    const own = random.fork(`stream-${id}`);
    const publisher = publisherOf(id);
    return runStream({
      topic,
      publisher,
      random: own,
      rate,
      maxBatch,
      withState,
      localShare,
      stopping: stopping.signal,
    });
  };
  const publishing = [
    ...hot.flatMap((topic) => [1, 2].map((at) => stream(topic, at, options.rate / hot.length / 2, 12, 0.1))),
    ...cool.map((topic) => stream(topic, 1, 0.5, 1, 0)),
    runJobs({
      slots: jobSlots,
      crowd,
      log,
      tally,
      findings,
      publisherOf,
      random,
      stopping: stopping.signal,
      signal,
      patienceMs: recoveryPatienceMs,
    }),
  ];
  const checking = setInterval(() => promises.check(), 1_000);

  const recoveries: Recovery[] = [];
  const startedAt = performance.now();
  const timer = setTimeout(() => stopping.abort(), options.seconds * 1_000);
  const recovered = async (kinds: readonly FaultKind[]): Promise<void> => {
    const result = await recover();
    const seconds = 'seconds' in result ? result.seconds : null;
    recoveries.push({ kinds, seconds });
    onProgress(
      'seconds' in result ? `  recovered in ${result.seconds.toFixed(2)} s` : `  BEHIND: ${result.behind.join(', ')}`,
    );
  };
  await runSchedule({
    kinds: options.faults,
    context: {
      fleet,
      redis,
      log,
      crowd,
      findings,
      bulk: { topic: bulk, publisher: publisherOf('bulk') },
      random: random.fork('faults'),
      signal,
    },
    recovered,
    onFault: (kinds, note) =>
      onProgress(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s ${kinds.join(' + ')}: ${note}`),
    stopping: stopping.signal,
  });
  if (!stopping.signal.aborted) {
    await new Promise((resolve) => stopping.signal.addEventListener('abort', resolve, { once: true }));
  }
  clearTimeout(timer);
  await Promise.all(publishing);

  // Nothing is published any more: everybody must arrive at the end of the log.
  const last = await recover();
  if ('behind' in last) onProgress(`BEHIND at the end: ${last.behind.join(', ')}`);
  const ends = await endsOf([...hot, ...cool, bulk]);
  await untilAt(ends);
  await log.readAll();
  over.abort();
  clearInterval(checking);
  promises.settle();
  for (const reading of crowd.readings) {
    const end = ends.get(reading.topic);
    if (reading.position !== end) findings.add('gap', reading, `it stands at ${reading.position}, the log at ${end}`);
    tally.settle(reading);
  }
  const ledgers = [...log.ledgers.values()];
  printed(fleet);
  return {
    seed,
    seconds: options.seconds,
    crowd: crowd.sizes,
    connects: crowd.connects,
    totals: tally.totals,
    promises: { made: promises.made, kept: promises.kept, local: promises.local },
    logged: {
      entries: ledgers.reduce((sum, { size }) => sum + size, 0),
      lost: ledgers.reduce((sum, { lost }) => sum + lost, 0),
    },
    findings: findings.counts,
    details: findings.details,
    recoveries,
  };

  async function endsOf(topics: readonly string[]): Promise<Map<string, string | null>> {
    return new Map(await Promise.all(topics.map(async (topic) => [topic, await log.end(topic)] as const)));
  }

  async function untilAt(ends: ReadonlyMap<string, string | null>): Promise<void> {
    const deadline = performance.now() + recoveryPatienceMs;
    const isAt = () => crowd.readings.every(({ topic, position }) => position === ends.get(topic));
    while (!isAt() && performance.now() < deadline) await pause(50, signal);
  }

  function printed({ instances }: Fleet): void {
    for (const { name, lines } of instances) onLogs(name, lines());
  }
}
