/** What was published, and what of it arrived: each event carries its number and when it was sent. */
import { sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';
import { call, type Item } from './wire.ts';

/** From the publisher's call to the subscriber's item; both are this k6, hence one clock. */
export const deliveryMs = new Trend('usher_delivery_ms', true);
/** From asking for a ticket until every subscription has answered. */
export const connectMs = new Trend('usher_connect_ms', true);
export const delivered = new Counter('usher_delivered_events');
export const missed = new Counter('usher_missed_events');
export const doubled = new Counter('usher_doubled_events');
/** Subscribers that were told of a gap. */
export const resets = new Counter('usher_resets');
/** Subscribers that were still waiting for the last event when the time was over. */
export const unfinished = new Counter('usher_unfinished_subscribers');
export const failures = new Counter('usher_failures');
export const published = new Counter('usher_published_events');

/** Thresholds of every script whose subscribers must see everything; each fails the run. */
export const nothingLost = {
  usher_missed_events: ['count==0'],
  usher_doubled_events: ['count==0'],
  usher_resets: ['count==0'],
  usher_unfinished_subscribers: ['count==0'],
  usher_delivered_events: ['count>0'],
};

/** k6 knows urls as a label, and here they hold tickets. */
export const systemTags = ['scenario', 'name', 'method', 'status', 'check', 'error_code', 'expected_response'] as const;

/** Follows the numbers of some topics for one subscriber. */
export class Ledger {
  readonly #last = new Map<string, number>();
  readonly #open: Set<string>;

  constructor(topics: readonly string[]) {
    this.#open = new Set(topics);
  }

  /** Every topic has told its last event. */
  get complete(): boolean {
    return this.#open.size === 0;
  }

  take(topic: string, { type, event }: Item): void {
    if (type === 'reset') {
      resets.add(1);
      this.#last.delete(topic);
    }
    if (type !== 'event' || event === undefined) return;
    const n = Number(event.data.n);
    const last = this.#last.get(topic);
    if (last !== undefined && n <= last) return doubled.add(1);
    if (last !== undefined && n > last + 1) missed.add(n - last - 1);
    this.#last.set(topic, n);
    delivered.add(1);
    deliveryMs.add(Date.now() - Number(event.data.sentAt));
    if (event.name === 'end') this.#open.delete(topic);
  }
}

export interface PublishingOptions {
  readonly topics: readonly string[];
  readonly token: string | null;
  /** When to begin, in ms since 1970: subscribers come first. */
  readonly startAt: number;
  readonly seconds: number;
  /** Over all topics. */
  readonly perSecond: number;
}

/** How long one event is tried for: a rolling restart must not break the numbers. */
const persistMs = 30_000;

function publish(topic: string, name: string, n: number, token: string | null): void {
  const sentAt = Date.now();
  const input = { topic, event: { name, data: { n, sentAt } }, idempotencyKey: `${topic}-${n}` };
  for (;;) {
    const answer = call('topic.publish', input, token);
    if (answer.ok) return published.add(1);
    failures.add(1, { reason: answer.reason });
    if (Date.now() - sentAt > persistMs) throw new Error(`An event could not be published: ${answer.reason}`);
    sleep(Math.max(0.1, answer.retryAfterMs / 1_000));
  }
}

/** Publishes numbered events to the topics in turn, at a pace, and then the last event of each. Takes one VU. */
export function publishAll({ topics, token, startAt, seconds, perSecond }: PublishingOptions): void {
  const next = new Map(topics.map((topic) => [topic, 0]));
  const publishNext = (topic: string, name: string): void => {
    const n = next.get(topic) ?? 0;
    next.set(topic, n + 1);
    publish(topic, name, n, token);
  };
  sleep(Math.max(0, (startAt - Date.now()) / 1_000));
  for (let at = 0; at < seconds * perSecond; at += 1) {
    const dueAt = startAt + (at / perSecond) * 1_000;
    if (dueAt > Date.now()) sleep((dueAt - Date.now()) / 1_000);
    publishNext(topics[at % topics.length] ?? '', 'tick');
  }
  for (const topic of topics) publishNext(topic, 'end');
}
