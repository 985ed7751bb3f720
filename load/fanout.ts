/** Many subscribers of one topic: SUBSCRIBERS, RATE (events a second), SECONDS. */
import type { Options } from 'k6/options';
import { limits } from '../contracts/src/limits.ts';
import { seat, usersOf, warnOfOneUser } from './k6/crowd.ts';
import { createTopics, publishTicks } from './k6/publisher.ts';
import { seatNumber } from './k6/seat-number.ts';
import { once, readingThresholds, runName, setting, slackSeconds, systemTags } from './k6/settings.ts';
import { publisherToken } from './k6/token.ts';

const size = setting('SUBSCRIBERS', 300);
const perUser = limits.maxConnectionsPerUser;
const perSecond = setting('RATE', 20);
const seconds = setting('SECONDS', 30);
const joinSeconds = setting('JOIN_SECONDS', 5);
const lastsSeconds = joinSeconds + seconds + slackSeconds;

export const options: Options = {
  systemTags: [...systemTags],
  thresholds: {
    ...readingThresholds({ topics: size, deliveryP95Ms: 250 }),
    usher_join_ms: ['p(95)<5000'],
    usher_refusals: ['count==0'],
  },
  scenarios: {
    subscribers: once('subscribe', usersOf({ size, perUser }), { maxSeconds: lastsSeconds + 30 }),
    publisher: once('publish', 1, { startSeconds: joinSeconds, maxSeconds: lastsSeconds }),
  },
};

interface Run {
  readonly topic: string;
  readonly untilMs: number;
}

export async function setup(): Promise<Run> {
  warnOfOneUser(size);
  const topic = `public:${runName()}`;
  await createTopics([topic], publisherToken());
  return { topic, untilMs: Date.now() + lastsSeconds * 1_000 };
}

export async function subscribe({ topic, untilMs }: Run): Promise<void> {
  const followers = seat(seatNumber(), { size, perUser, untilMs, topicsOf: () => [topic] });
  await Promise.all(followers.map((follower) => follower.done));
}

export const publish = ({ topic }: Run): Promise<void> =>
  publishTicks({ token: publisherToken(), topics: [topic], perSecond, seconds });
