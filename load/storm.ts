/** Everybody loses the connection at once and comes back with a new ticket: SUBSCRIBERS, STORMS, EVERY_SECONDS, RATE. */
import type { Options } from 'k6/options';
import { limits } from '../contracts/src/limits.ts';
import { seat, usersOf, warnOfOneUser } from './k6/crowd.ts';
import { createTopics, publishTicks } from './k6/publisher.ts';
import { seatNumber } from './k6/seat-number.ts';
import { once, readingThresholds, runName, setting, slackSeconds, systemTags } from './k6/settings.ts';
import { publisherToken } from './k6/token.ts';
import { wait } from './k6/wire.ts';

const size = setting('SUBSCRIBERS', 300);
const storms = setting('STORMS', 3);
const everySeconds = setting('EVERY_SECONDS', 8);
const perSecond = setting('RATE', 10);
const joinSeconds = setting('JOIN_SECONDS', 5);
const seconds = (storms + 1) * everySeconds;
const lastsSeconds = joinSeconds + seconds + slackSeconds;

/** Half of what is allowed: the place of a lost connection may be taken until the server has noticed. */
const perUser = Math.max(1, Math.floor(limits.maxConnectionsPerUser / 2));

export const options: Options = {
  systemTags: [...systemTags],
  thresholds: {
    // Events that come in the middle of a storm wait for it.
    ...readingThresholds({ topics: size, deliveryP95Ms: 1_000 }),
    usher_join_ms: ['p(95)<5000', 'max<30000'],
    usher_reconnects: [`count>=${size * storms}`],
  },
  scenarios: {
    subscribers: once('subscribe', usersOf({ size, perUser }), { maxSeconds: lastsSeconds + 30 }),
    publisher: once('publish', 1, { startSeconds: joinSeconds, maxSeconds: lastsSeconds }),
  },
};

interface Run {
  readonly topic: string;
  readonly startMs: number;
}

export async function setup(): Promise<Run> {
  warnOfOneUser(size);
  const topic = `public:${runName()}`;
  await createTopics([topic], publisherToken());
  return { topic, startMs: Date.now() };
}

export async function subscribe({ topic, startMs }: Run): Promise<void> {
  const untilMs = startMs + lastsSeconds * 1_000;
  const followers = seat(seatNumber(), { size, perUser, untilMs, topicsOf: () => [topic] });
  for (let storm = 1; storm <= storms; storm++) {
    const atMs = startMs + (joinSeconds + storm * everySeconds) * 1_000;
    await wait(Math.max(0, atMs - Date.now()));
    for (const follower of followers) follower.reconnect();
  }
  await Promise.all(followers.map((follower) => follower.done));
}

export const publish = ({ topic }: Run): Promise<void> =>
  publishTicks({ token: publisherToken(), topics: [topic], perSecond, seconds });
