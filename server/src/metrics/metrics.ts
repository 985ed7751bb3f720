import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * The one table of what an instance counts. Names are `usher_<noun>_<unit>_total|_seconds|_bytes`; no label holds a
 * topic, a user or a connection, whose number has no bound.
 */
export function createMetrics(version: string, runtime: string) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'usher_process_' });
  new Gauge({ name: 'usher_build_info', help: 'Always 1', labelNames: ['version', 'runtime'], registers })
    .labels(version, runtime)
    .set(1);
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Counter<T>({ name, help, labelNames, registers });
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Gauge<T>({ name, help, labelNames, registers });
  const histogram = <T extends string>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Histogram<T>({ name, help, labelNames, buckets: seconds, registers });

  return {
    registry,
    ticketsIssued: counter('usher_tickets_issued_total', 'Tickets issued'),
    ticketPasses: counter('usher_ticket_passes_total', 'Looks at a ticket, by where the answer came from', ['source']),
    ticketOpens: counter('usher_ticket_opens_total', 'Connections opened with a ticket, by outcome', ['outcome']),
    refusals: counter('usher_refusals_total', 'Refused requests, upgrades and connections, by code', ['code']),
    connections: gauge('usher_connections', 'Open WebSocket connections'),
    connectionsClosed: counter('usher_connections_closed_total', 'Closed WebSocket connections, by reason', ['reason']),
    subscriptions: gauge('usher_subscriptions', 'Topic subscriptions served'),
    topics: gauge('usher_topics', 'Topics somebody listens to on this instance'),
    polls: counter('usher_polls_total', 'Polls answered'),
    eventsIn: counter('usher_events_in_total', 'Events published here, by outcome', ['outcome']),
    eventsDelivered: counter('usher_events_delivered_total', 'Event frames sent to subscribers'),
    eventsReplayed: counter('usher_events_replayed_total', 'Events sent from the log to subscribers that resumed'),
    gapsHealed: counter('usher_gaps_healed_total', 'Gaps in live delivery that were filled from the log'),
    resets: counter('usher_resets_total', 'Subscribers told of a gap, by reason', ['reason']),
    slowConsumers: counter('usher_slow_consumers_total', 'Connections cut because they did not read'),
    redisUp: gauge('usher_redis_up', '1 while Redis answers, by line', ['line']),
    redisCommandSeconds: histogram('usher_redis_command_seconds', 'Time a Redis command took', ['answered']),
    probeAgeSeconds: gauge('usher_delivery_probe_age_seconds', 'Time since the last probe came back through pub/sub'),
    deliverySeconds: histogram('usher_publish_to_deliver_seconds', 'From append, by the clock of Redis, to the frame'),
    eventLoopLagSeconds: gauge('usher_event_loop_lag_seconds', 'How late the event loop runs a timer'),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;
