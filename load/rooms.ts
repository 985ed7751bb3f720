/** Many topics, a few readers each: ROOMS, READERS (of each room), RATE (events a second and room), SECONDS. */
import type { Options } from 'k6/options';
import { limits } from '../contracts/src/limits.ts';
import { seat, usersOf, warnOfOneUser } from './k6/crowd.ts';
import { createTopics, publishTicks } from './k6/publisher.ts';
import { seatNumber } from './k6/seat-number.ts';
import { once, readingThresholds, runName, setting, slackSeconds, systemTags } from './k6/settings.ts';
import { publisherToken } from './k6/token.ts';

const rooms = setting('ROOMS', 100);
const readers = setting('READERS', 5);
const perSecond = setting('RATE', 2);
const seconds = setting('SECONDS', 30);
const joinSeconds = setting('JOIN_SECONDS', 5);
const lastsSeconds = joinSeconds + seconds + slackSeconds;

/** A connection reads this many rooms, as a page with many jobs does. */
const roomsPerConnection = Math.min(rooms, 20, limits.maxSubscriptionsPerConnection);
const connectionsPerSet = Math.ceil(rooms / roomsPerConnection);
const size = connectionsPerSet * readers;
const perUser = limits.maxConnectionsPerUser;
const publishers = Math.min(rooms, setting('PUBLISHERS', 4));

export const options: Options = {
  systemTags: [...systemTags],
  thresholds: {
    ...readingThresholds({ topics: rooms * readers, deliveryP95Ms: 250 }),
    usher_join_ms: ['p(95)<5000'],
    usher_refusals: ['count==0'],
  },
  scenarios: {
    readers: once('read', usersOf({ size, perUser }), { maxSeconds: lastsSeconds + 30 }),
    publishers: once('publish', publishers, { startSeconds: joinSeconds, maxSeconds: lastsSeconds }),
  },
};

interface Run {
  readonly topics: readonly string[];
  readonly untilMs: number;
}

export async function setup(): Promise<Run> {
  warnOfOneUser(size);
  const run = runName();
  const topics = Array.from({ length: rooms }, (_, room) => `public:${run}-${room}`);
  await createTopics(topics, publisherToken());
  return { topics, untilMs: Date.now() + lastsSeconds * 1_000 };
}

export async function read({ topics, untilMs }: Run): Promise<void> {
  const topicsOf = (follower: number): readonly string[] => {
    const from = (follower % connectionsPerSet) * roomsPerConnection;
    return topics.slice(from, from + roomsPerConnection);
  };
  const followers = seat(seatNumber(), { size, perUser, untilMs, topicsOf });
  await Promise.all(followers.map((follower) => follower.done));
}

export function publish({ topics }: Run): Promise<void> {
  const publisher = seatNumber();
  const own = topics.filter((_, room) => room % publishers === publisher);
  const token = publisherToken(`k6-publisher-${publisher}`);
  return publishTicks({ token, topics: own, perSecond, seconds });
}
