import { Counter, Rate, Trend } from 'k6/metrics';

/** Every metric the scripts add to k6's own. */
export const tally = {
  /** From the publisher's clock to the subscriber's: one machine, so one clock. Replayed events are not in it. */
  deliveryMs: new Trend('usher_delivery_ms', true),
  deliveredEvents: new Counter('usher_delivered_events'),
  /** Delivered after a reconnect, because they had been missed. */
  replayedEvents: new Counter('usher_replayed_events'),
  /** Numbers skipped by a subscriber that was not told so. */
  missedEvents: new Counter('usher_missed_events'),
  doubledEvents: new Counter('usher_doubled_events'),
  /** The told excuse: "what you had cannot be continued". */
  resets: new Counter('usher_resets'),
  degraded: new Counter('usher_degraded'),
  /** Subscriptions, or poll loops, that saw their topic's end. */
  finishedTopics: new Counter('usher_finished_topics'),
  /** … and those that did not, until their deadline. */
  unfinishedTopics: new Counter('usher_unfinished_topics'),
  /** From the wish to connect to the first item of every topic: ticket, handshake, subscriptions. */
  joinMs: new Trend('usher_join_ms', true),
  reconnects: new Counter('usher_reconnects'),
  /** By tag `reason`: a code of the table, or `none` for a connection that failed without one. */
  refusals: new Counter('usher_refusals'),
  publishedEvents: new Counter('usher_published_events'),
  publishMs: new Trend('usher_publish_ms', true),
  /** Publishes tried again; the idempotency key keeps them from being doubled. */
  publishRetries: new Counter('usher_publish_retries'),
  ticketMs: new Trend('usher_ticket_ms', true),
  /** From the upgrade to the first answer on the socket. */
  handshakeMs: new Trend('usher_handshake_ms', true),
  /** Of those who asked for a ticket and a connection. */
  admitted: new Rate('usher_admitted'),
  /** Second connections with one ticket. */
  reusedTickets: new Counter('usher_reused_tickets'),
};
