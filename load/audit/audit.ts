import { startRedis } from '../../test/harness/redis.ts';
import { publisherToken } from '../../test/harness/tokens.ts';
import { pause } from './call.ts';
import { awaitRecovery } from './faults/recovery.ts';
import { runSchedule } from './faults/schedule.ts';
import { createFindings } from './finding.ts';
import { type LogReader, startLogReader } from './logs/log-reader.ts';
import type { AuditOptions } from './options.ts';
import { createPromises } from './publishers/promises.ts';
import { createPublisher, type Publisher } from './publishers/publisher.ts';
import { runTraffic, type TrafficTopics } from './publishers/traffic.ts';
import { createRandom } from './random.ts';
import { type Crowd, gatherCrowd } from './readers/crowd.ts';
import { createTally } from './readers/tally.ts';
import type { Recovery, Report } from './report.ts';
import { startFleet } from './service/fleet.ts';
import { startRelay } from './service/relay.ts';

const names = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `public:${name}-${at + 1}`);

const topics: TrafficTopics = { hot: names('hot', 4), cool: names('cool', 24), bulk: 'public:bulk' };
const jobSlots = 6;
/** Small, so that a busy topic forgets its beginning within seconds. */
const keptEvents = 400;
/** Limits that stand in the way of a crowd on one machine, and times short enough for a run of minutes. */
const serverVariables: Readonly<Record<string, string>> = {
  TOPIC_MAX_EVENTS: String(keptEvents),
  MAX_REPLAY_EVENTS: '250',
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
  const { seed, onProgress, patienceMs } = options;
  const random = createRandom(seed);
  const findings = createFindings();
  const { signal: stopping, abort: stop } = controlled();
  const { signal, abort: end } = controlled();

  await using redis = await startRedis({ persist: true, flags: ['--enable-debug-command', 'yes'] });
  const env = { ...serverVariables, ...options.env };
  await using fleet = await startFleet({ size: options.instances, deno: options.deno, redisPort: redis.port, env });
  const balancing = random.fork('balancer');
  await using balancer = await startRelay({ target: () => fleet.any(balancing).port });
  await using log = startLogReader({ redisPort: redis.port, findings });
  const followed = [...topics.hot, ...topics.cool];
  for (const topic of [...followed, topics.bulk]) log.ledger(topic);
  const promises = createPromises(log, findings);
  const tally = createTally(log, keptEvents);
  const token = await publisherToken({ expiresInSeconds: 100_000 });
  const publisherOf = (id: string): Publisher =>
    createPublisher({ id, fleet, token, random: random.fork(id), promises, findings, signal });
  await using crowd = await gatherCrowd({
    ...topics,
    fleet,
    balancer,
    size: options.subscribers,
    jobSlots,
    random,
    findings,
  });

  const marker = publisherOf('mark');
  const recover = async (): Promise<number | null> => {
    const result = await awaitRecovery({ crowd, publisher: marker, topics: followed, patienceMs, signal });
    const isBack = 'seconds' in result;
    onProgress(isBack ? `  all current after ${result.seconds.toFixed(2)} s` : `  BEHIND: ${result.behind.join(', ')}`);
    return isBack ? result.seconds : null;
  };
  await recover();

  const traffic = runTraffic({
    topics,
    rate: options.rate,
    url: `http://127.0.0.1:${balancer.port}`,
    token,
    publisherOf,
    promises,
    slots: jobSlots,
    crowd,
    log,
    tally,
    findings,
    random,
    stopping,
    signal,
    patienceMs,
  });
  const checking = setInterval(() => promises.check(), 1_000);
  const recoveries: Recovery[] = [];
  const startedAt = performance.now();
  const over = pause(options.seconds * 1_000, signal).then(stop);
  await runSchedule({
    kinds: options.faults,
    pairShare: options.pairShare,
    context: {
      fleet,
      redis,
      log,
      crowd,
      findings,
      bulk: { topic: topics.bulk, publisher: publisherOf('bulk') },
      random: random.fork('faults'),
      signal,
    },
    recovered: async (kinds) => void recoveries.push({ kinds, seconds: await recover() }),
    onFault: (kinds, note) =>
      onProgress(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6)} s ${kinds.join(' + ')}: ${note}`),
    stopping,
  });
  await over;
  await traffic;

  // Nothing is published any more: everybody must arrive at the end of the log, and be served there.
  await recover();
  const ends = await settleAtEnds(crowd, log, { topics: [...followed, topics.bulk], patienceMs });
  await log.readAll();
  for (const who of crowd.unserved) findings.add('protocol', { topic: '', who }, 'it is not served at the end');
  end();
  clearInterval(checking);
  promises.settle();
  for (const reading of crowd.readings) {
    const last = ends.get(reading.topic);
    if (reading.position !== last) findings.add('gap', reading, `it stands at ${reading.position}, the log at ${last}`);
    tally.settle(reading);
  }
  for (const { name, lines } of fleet.instances) onLogs(name, lines());
  const ledgers = [...log.ledgers.values()];
  return {
    seed,
    seconds: options.seconds,
    crowd: crowd.sizes,
    connects: crowd.connects,
    fallbacks: crowd.fallbacks,
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
}

function controlled(): { readonly signal: AbortSignal; abort(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

/** Gives every log's end, when all readers are there or have had time enough. */
async function settleAtEnds(
  crowd: Crowd,
  log: LogReader,
  { topics, patienceMs }: { readonly topics: readonly string[]; readonly patienceMs: number },
): Promise<ReadonlyMap<string, string | null>> {
  const ends = new Map(await Promise.all(topics.map(async (topic) => [topic, await log.end(topic)] as const)));
  const deadline = performance.now() + patienceMs;
  const isThere = (): boolean => crowd.readings.every(({ topic, position }) => position === ends.get(topic));
  while (!isThere() && performance.now() < deadline) await Bun.sleep(50);
  return ends;
}
