/**
 * Many subscribers of one topic: `k6 run load/fanout.ts`, with SUBSCRIBERS, RATE (events a second), SECONDS.
 */
import type { Options } from 'k6/options';
import { limits } from '../contracts/src/limits.ts';
import { follow } from './k6/follower.ts';
import { createTopics, publishTicks } from './k6/publisher.ts';
import { readingThresholds, runName, setting, systemTags } from './k6/settings.ts';
import { publisherToken, tokenFor } from './k6/token.ts';

const subscribers = setting('SUBSCRIBERS', 300);
const perSecond = setting('RATE', 20);
const seconds = setting('SECONDS', 30);
const joinSeconds = setting('JOIN_SECONDS', 5);

/** One virtual user of k6 is one user of the service, with as many connections as one may have. */
const perUser = Math.min(subscribers, limits.maxConnectionsPerUser);
const users = Math.ceil(subscribers / perUser);
/** What readers wait for the end on top of the plan: the publisher may be held up for this long. */
const slackSeconds = 60;
const lastsSeconds = joinSeconds + seconds + slackSeconds;

export const options: Options = {
  systemTags: [...systemTags],
  thresholds: {
    ...readingThresholds({ topics: subscribers, deliveryP95Ms: 250 }),
    usher_join_ms: ['p(95)<5000'],
    usher_refusals: ['count==0'],
  },
  scenarios: {
    subscribers: {
      executor: 'per-vu-iterations',
      exec: 'subscribe',
      vus: users,
      iterations: 1,
      maxDuration: `${lastsSeconds + 30}s`,
    },
    publisher: {
      executor: 'per-vu-iterations',
      exec: 'publish',
      vus: 1,
      iterations: 1,
      startTime: `${joinSeconds}s`,
      maxDuration: `${lastsSeconds}s`,
    },
  },
};

interface Run {
  readonly topic: string;
  readonly untilMs: number;
}

export async function setup(): Promise<Run> {
  const topic = `public:${runName()}`;
  await createTopics([topic], publisherToken());
  return { topic, untilMs: Date.now() + lastsSeconds * 1_000 };
}

export async function subscribe({ topic, untilMs }: Run): Promise<void> {
  const user = __VU - 1;
  const token = tokenFor(`k6-reader-${user}`);
  const connections = Math.max(0, Math.min(perUser, subscribers - user * perUser));
  const followers = Array.from({ length: connections }, () => follow({ token, topics: [topic], untilMs }));
  await Promise.all(followers.map((follower) => follower.done));
}

export const publish = ({ topic }: Run): Promise<void> =>
  publishTicks({ token: publisherToken(), topics: [topic], perSecond, seconds });
