import { tally } from './tally.ts';
import { type Answer, call, wait } from './wire.ts';

/** The longest one event is tried for; a durable publish is refused while Redis is away. */
const patienceMs = 60_000;

export interface PublishOptions {
  readonly token: string;
  readonly topics: readonly string[];
  /** Events a second on each topic. */
  readonly perSecond: number;
  readonly seconds: number;
  /** Bytes of text in each event besides its number and time. @default 100 */
  readonly payloadBytes?: number;
}

/** Tries again until it is answered: whoever publishes with a key may. */
async function insist(procedure: string, input: () => object, token: string): Promise<Answer<unknown>> {
  const giveUpMs = Date.now() + patienceMs;
  for (;;) {
    const answer = await call('mutation', procedure, { token, input: input() });
    const mayRetry = answer.status === 0 || answer.status === 429 || answer.status >= 500;
    if (answer.status === 200 || !mayRetry || Date.now() > giveUpMs) return answer;
    tally.publishRetries.add(1, { reason: answer.reason || 'none' });
    await wait(answer.retryAfterMs ?? 200 + 300 * Math.random());
  }
}

const refusal = (procedure: string, { status, reason }: Answer<unknown>): Error =>
  new Error(`${procedure} was refused: ${status} ${reason || 'without a code'}`);

/** Makes topics that are there before their first reader. */
export async function createTopics(topics: readonly string[], token: string, owner?: string): Promise<void> {
  for (const topic of topics) {
    const answer = await insist('topic.create', () => ({ topic, ...(owner && { owner }) }), token);
    if (answer.status !== 200) throw refusal('topic.create', answer);
  }
}

/** Publishes event `n` of a topic; the state says how far the topic is, for those who come later. */
export async function publishTick(
  topic: string,
  n: number,
  options: { readonly token: string; readonly name?: string; readonly data?: object },
): Promise<void> {
  const { token, name = 'tick', data = {} } = options;
  const startMs = Date.now();
  const tick = () => ({ event: { name, data: { ...data, n, at: Date.now() } }, state: { n } });
  const answer = await insist('topic.publish', () => ({ topic, ...tick(), idempotencyKey: `${topic} ${n}` }), token);
  if (answer.status !== 200) throw refusal('topic.publish', answer);
  tally.publishedEvents.add(1);
  tally.publishMs.add(Date.now() - startMs);
}

/** Ends a topic by an event that has the number after the last, so that a missing tail shows too. */
export async function closeTopic(topic: string, n: number, token: string): Promise<void> {
  const end = () => ({ topic, event: { name: 'end', data: { n, at: Date.now() } }, state: { n } });
  const answer = await insist('topic.close', end, token);
  // Closed by a try whose answer was lost.
  if (answer.status !== 200 && answer.reason !== 'TOPIC_CLOSED') throw refusal('topic.close', answer);
}

/** Publishes to all topics in step, on a schedule that a slow answer delays but does not thin out, then ends them. */
export async function publishTicks(options: PublishOptions): Promise<void> {
  const { token, topics, perSecond, seconds, payloadBytes = 100 } = options;
  const text = 'x'.repeat(payloadBytes);
  const count = Math.round(perSecond * seconds);
  const startMs = Date.now();
  for (let n = 0; n < count; n++) {
    await Promise.all(topics.map((topic) => publishTick(topic, n, { token, data: { text } })));
    const dueMs = startMs + ((n + 1) * 1_000) / perSecond;
    if (dueMs > Date.now()) await wait(dueMs - Date.now());
  }
  await Promise.all(topics.map((topic) => closeTopic(topic, count, token)));
}
