import { codes } from '@usher/contracts';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { addProcessMetrics } from './process.ts';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * The one table of what an instance counts. Names are `usher_<noun>_<unit>_total|_seconds|_bytes`; no label holds a
 * topic, a user or a connection, whose number has no bound.
 */
export function createMetrics(version: string, runtime: string) {
  const registry = new Registry();
  const registers = [registry];
  const scrapes = new Set<() => void>();
  // First of all, so that what its listeners set is read after they have set it.
  new Gauge({
    name: 'usher_build_info',
    help: 'Always 1',
    labelNames: ['version', 'runtime'],
    registers,
    collect() {
      this.labels(version, runtime).set(1);
      for (const listener of scrapes) listener();
    },
  });
  addProcessMetrics(registry);
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  /** With a label whose values are known, each is there from the start: a series that begins at 1 shows no increase. */
  const counterBy = <T extends string>(label: T, values: readonly string[], name: string, help: string) => {
    const made = new Counter<T>({ name, help, labelNames: [label], registers });
    for (const value of values) made.inc({ [label]: value } as Record<T, string>, 0);
    return made;
  };
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Gauge<T>({ name, help, labelNames, registers });
  const histogram = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Histogram<T>({ name, help, labelNames, buckets: seconds, registers });

  const redisCommandSeconds = histogram('usher_redis_command_seconds', 'Time a Redis command took', ['answered']);
  for (const answered of ['true', 'false']) redisCommandSeconds.zero({ answered });

  return {
    registry,
    /** Calls back before each scrape, to set what is only looked at then. */
    onScrape(listener: () => void): () => void {
      scrapes.add(listener);
      return () => void scrapes.delete(listener);
    },
    ticketsIssued: counter('usher_tickets_issued_total', 'Tickets issued'),
    ticketPasses: counterBy(
      'source',
      ['redis', 'in_process', 'redis_consumed', 'miss'],
      'usher_ticket_passes_total',
      'Looks at a ticket, by where the answer came from',
    ),
    ticketOpens: counterBy(
      'outcome',
      ['established', 'unclaimed'],
      'usher_ticket_opens_total',
      'Connections opened with a ticket, by outcome',
    ),
    refusals: counterBy(
      'code',
      Object.keys(codes),
      'usher_refusals_total',
      'Refused requests, upgrades and connections, by code',
    ),
    connections: gauge('usher_connections', 'Open WebSocket connections'),
    connectionsClosed: counterBy(
      'reason',
      ['1000', '1001', '1005', '1006', '1008', '1012'],
      'usher_connections_closed_total',
      'Closed WebSocket connections, by close code',
    ),
    subscriptions: gauge('usher_subscriptions', 'Topic subscriptions served'),
    topics: gauge('usher_topics', 'Topics somebody listens to on this instance'),
    polls: counter('usher_polls_total', 'Polls answered'),
    callsInFlight: gauge('usher_calls_in_flight', 'HTTP calls being answered, waiting polls among them'),
    eventsIn: counterBy(
      'outcome',
      ['appended', 'refused', 'away', 'local'],
      'usher_events_in_total',
      'Events published here, by outcome',
    ),
    eventsDelivered: counter('usher_events_delivered_total', 'Event frames sent to subscribers'),
    eventsReplayed: counter('usher_events_replayed_total', 'Events sent to subscribers before they were live'),
    gapsHealed: counter('usher_gaps_healed_total', 'Gaps in live delivery that were filled from the log'),
    resets: counterBy(
      'reason',
      ['expired', 'unknown', 'limit'],
      'usher_resets_total',
      'Subscribers told of a gap, by reason',
    ),
    slowConsumers: counter('usher_slow_consumers_total', 'Connections cut because they did not read'),
    checkOk: gauge('usher_check_ok', '1 while a check of /readyz passes, by check', ['check']),
    checkWarning: gauge('usher_check_warning', '1 while a check of /readyz warns, by check', ['check']),
    redisUp: gauge('usher_redis_up', '1 while Redis answers, by line', ['line']),
    redisMemory: gauge('usher_redis_memory_bytes', 'Memory of Redis, used and allowed (0: no limit)', ['kind']),
    redisCommandSeconds,
    probeAgeSeconds: gauge('usher_delivery_probe_age_seconds', 'Time since the last probe came back through pub/sub'),
    deliverySeconds: histogram('usher_publish_to_deliver_seconds', 'From append, by the clock of Redis, to the frame'),
    eventLoopLagSeconds: histogram('usher_event_loop_lag_seconds', 'How late the event loop runs a timer'),
    logLinesSuppressed: counter('usher_log_lines_suppressed_total', 'Log lines of hot paths that were only counted'),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;
