/** A number of the environment: `k6 run -e SUBSCRIBERS=1000 load/fanout.ts`. */
export function setting(name: string, fallback: number): number {
  const text = __ENV[name];
  const value = text ? Number(text) : fallback;
  if (!Number.isFinite(value) || value < 0) throw new TypeError(`${name} must be a number: current value is "${text}"`);
  return value;
}

/** k6's own tags but `url`: it would hold tickets, and make a metric of every position. */
export const systemTags = ['status', 'method', 'name', 'group', 'check', 'error_code', 'scenario', 'expected_response'];

/**
 * What every reading script holds. `topics`: how many subscriptions or poll loops must see their topic's end, so that
 * a script that broke off half way does not pass because nothing was missed by nobody.
 */
export const readingThresholds = (options: { readonly topics: number; readonly deliveryP95Ms: number }) => ({
  usher_missed_events: ['count==0'],
  usher_doubled_events: ['count==0'],
  // Faults made on purpose, such as a Redis that was emptied, may cost some.
  usher_resets: [`count<=${setting('MAX_RESETS', 0)}`],
  usher_unfinished_topics: ['count==0'],
  usher_finished_topics: [`count==${options.topics}`],
  usher_delivered_events: ['count>0'],
  usher_delivery_ms: [`p(95)<${setting('DELIVERY_P95_MS', options.deliveryP95Ms)}`],
});

/** A name no other run has: topics keep their logs for a day. */
export const runName = (): string => `k6-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;

/** A scenario in which each virtual user runs `exec` once. */
export const once = (
  exec: string,
  vus: number,
  times: { readonly startSeconds?: number; readonly maxSeconds: number },
) =>
  ({
    executor: 'per-vu-iterations',
    exec,
    vus,
    iterations: 1,
    startTime: `${times.startSeconds ?? 0}s`,
    maxDuration: `${times.maxSeconds}s`,
  }) as const;

/** What readers wait for their topic's end on top of the plan: a publisher may be held up, e.g. by a restart of Redis. */
export const slackSeconds = 60;
