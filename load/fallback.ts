/** Clients that cannot have a WebSocket: long polls of one topic. POLLERS, RATE (events a second), SECONDS. */
import type { Options } from 'k6/options';
import type { TopicItem } from '../contracts/src/items.ts';
import { createTopics, publishTicks } from './k6/publisher.ts';
import { createReader } from './k6/reader.ts';
import { seatNumber } from './k6/seat-number.ts';
import { once, readingThresholds, runName, setting, slackSeconds, systemTags } from './k6/settings.ts';
import { tally } from './k6/tally.ts';
import { publisherToken, tokenFor } from './k6/token.ts';
import { call, wait } from './k6/wire.ts';

const pollers = setting('POLLERS', 100);
const perSecond = setting('RATE', 5);
const seconds = setting('SECONDS', 30);
const joinSeconds = setting('JOIN_SECONDS', 5);
const lastsSeconds = joinSeconds + seconds + slackSeconds;
const waitMs = 20_000;
const backOffMs = 1_000;

export const options: Options = {
  systemTags: [...systemTags],
  thresholds: {
    ...readingThresholds({ topics: pollers, deliveryP95Ms: 500 }),
    usher_refusals: ['count==0'],
  },
  scenarios: {
    pollers: once('poll', pollers, { maxSeconds: lastsSeconds + 30 }),
    publisher: once('publish', 1, { startSeconds: joinSeconds, maxSeconds: lastsSeconds }),
  },
};

interface Run {
  readonly topic: string;
  readonly untilMs: number;
}

interface PollAnswer {
  readonly items: readonly { readonly id: string; readonly item: TopicItem }[];
  readonly lastEventId: string;
}

export async function setup(): Promise<Run> {
  const topic = `public:${runName()}`;
  await createTopics([topic], publisherToken());
  return { topic, untilMs: Date.now() + lastsSeconds * 1_000 };
}

export async function poll({ topic, untilMs }: Run): Promise<void> {
  const token = tokenFor(`k6-reader-${seatNumber()}`);
  const reader = createReader(topic);
  let lastEventId: string | undefined;
  while (!reader.ended && Date.now() < untilMs) {
    const leftMs = Math.max(0, Math.min(waitMs, untilMs - Date.now()));
    const input = { topic, lastEventId, waitMs: leftMs };
    const answer = await call<PollAnswer>('query', 'topic.poll', { token, input, waitMs: leftMs });
    if (answer.data === null) {
      tally.refusals.add(1, { reason: answer.reason || 'none' });
      await wait(answer.retryAfterMs ?? backOffMs * (0.5 + Math.random()));
      continue;
    }
    for (const { id, item } of answer.data.items) reader.take(id, item);
    lastEventId = answer.data.lastEventId;
  }
  (reader.ended ? tally.finishedTopics : tally.unfinishedTopics).add(1);
}

export const publish = ({ topic }: Run): Promise<void> =>
  publishTicks({ token: publisherToken(), topics: [topic], perSecond, seconds });
