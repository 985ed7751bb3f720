/** Hours of ordinary use, in which connections come and go: MINUTES, SUBSCRIBERS, TOPICS, RATE (events a second and topic). */
import type { Options } from 'k6/options';
import { limits } from '../contracts/src/limits.ts';
import { comeAndGo, seat, usersOf, warnOfOneUser } from './k6/crowd.ts';
import { createTopics, publishTicks } from './k6/publisher.ts';
import { seatNumber } from './k6/seat-number.ts';
import { once, readingThresholds, runName, setting, slackSeconds, systemTags } from './k6/settings.ts';
import { publisherToken } from './k6/token.ts';

const size = setting('SUBSCRIBERS', 100);
const topicCount = setting('TOPICS', 10);
const perSecond = setting('RATE', 2);
const seconds = setting('MINUTES', 30) * 60;
/** How long a connection lasts on average before its client opens another. */
const stayMs = setting('STAY_SECONDS', 60) * 1_000;
const joinSeconds = setting('JOIN_SECONDS', 5);
const lastsSeconds = joinSeconds + seconds + slackSeconds;
/** Half of what is allowed: the place of a lost connection may be taken until the server has noticed. */
const perUser = Math.max(1, Math.floor(limits.maxConnectionsPerUser / 2));

export const options: Options = {
  systemTags: [...systemTags],
  thresholds: {
    ...readingThresholds({ topics: size, deliveryP95Ms: 250 }),
    usher_join_ms: ['p(95)<5000'],
    usher_reconnects: ['count>0'],
  },
  scenarios: {
    subscribers: once('subscribe', usersOf({ size, perUser }), { maxSeconds: lastsSeconds + 30 }),
    publisher: once('publish', 1, { startSeconds: joinSeconds, maxSeconds: lastsSeconds }),
  },
};

interface Run {
  readonly topics: readonly string[];
  readonly untilMs: number;
}

export async function setup(): Promise<Run> {
  warnOfOneUser(size);
  const run = runName();
  const topics = Array.from({ length: topicCount }, (_, at) => `public:${run}-${at}`);
  await createTopics(topics, publisherToken());
  return { topics, untilMs: Date.now() + lastsSeconds * 1_000 };
}

export async function subscribe({ topics, untilMs }: Run): Promise<void> {
  const topicsOf = (follower: number): readonly string[] => [topics[follower % topics.length] ?? ''];
  const followers = seat(seatNumber(), { size, perUser, untilMs, topicsOf });
  await Promise.all(followers.map((follower) => comeAndGo(follower, stayMs)));
}

export const publish = ({ topics }: Run): Promise<void> =>
  publishTicks({ token: publisherToken(), topics, perSecond, seconds });
