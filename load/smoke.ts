/** Does it work at all: one user's way through everything, then a few connections under a little load. SECONDS, RATE. */
import type { Options } from 'k6/options';
import type { TopicEvent } from '../contracts/src/items.ts';
import { seat } from './k6/crowd.ts';
import { expect } from './k6/expect.ts';
import { follow } from './k6/follower.ts';
import { handshake } from './k6/handshake.ts';
import { createTopics, publishTick, publishTicks } from './k6/publisher.ts';
import { once, readingThresholds, runName, setting, systemTags } from './k6/settings.ts';
import { manyUsers, publisherToken, tokenFor } from './k6/token.ts';
import { call, issueTicket, wait } from './k6/wire.ts';

const size = 6;
const perUser = 3;
const perSecond = setting('RATE', 10);
const seconds = setting('SECONDS', 3);
const patienceMs = 60_000;

const steps = [
  { name: 'agent_started', data: {} },
  { name: 'agent_thinking', data: { text: 'Where is the file?' } },
  { name: 'tool_executing', data: { tool: 'search' } },
  { name: 'tool_completed', data: { tool: 'search' } },
  { name: 'agent_completed', data: {} },
];

export const options: Options = {
  systemTags: [...systemTags],
  thresholds: {
    ...readingThresholds({ topics: 1 + size, deliveryP95Ms: 500 }),
    checks: ['rate==1'],
    usher_refusals: ['count==0'],
    usher_reconnects: [`count>=${size}`],
  },
  scenarios: { smoke: once('smoke', 1, { maxSeconds: 180 }) },
};

/** Fails the run at once where nobody is let in. */
export async function setup(): Promise<{ run: string }> {
  const run = runName();
  await createTopics([`public:${run}`], publisherToken());
  return { run };
}

export async function smoke({ run }: { run: string }): Promise<void> {
  const ready = await call<{ status: string }>('query', 'health.ready', { token: '' });
  expect('it is ready', ready.data?.status === 'ok');
  await checkTickets();
  await checkAgent(run);
  await checkLoad(run);
}

async function checkTickets(): Promise<void> {
  const token = tokenFor('k6-tickets');
  for (const path of ['/trpc', '/ws', '/websocket']) {
    const { data } = await issueTicket(token);
    const ticket = data?.ticket ?? '';
    expect(`a ticket opens a connection on ${path}`, await handshake(path, ticket));
    expect(`a used ticket opens none on ${path}`, !(await handshake(path, ticket)));
  }
  if (!manyUsers) return;
  const strangers = await issueTicket(`${token.slice(0, -4)}AAAA`);
  expect('a token that was tampered with gets no ticket', strangers.reason === 'UNAUTHORIZED');
}

/** The five events of an agent's run: to their owner in order, to nobody else at all. */
async function checkAgent(run: string): Promise<void> {
  const owner = 'k6-owner';
  // Who owns a topic is told at its creation, and a single user's name is not known here.
  const topic = manyUsers ? `agent:${run}` : `public:${run}-agent`;
  const token = tokenFor(owner);
  await createTopics([topic], publisherToken(), manyUsers ? owner : undefined);
  const seen: TopicEvent[] = [];
  const untilMs = Date.now() + patienceMs;
  const follower = follow({ token, topics: [topic], untilMs, onEvent: (event) => seen.push(event) });
  await follower.live;
  const last = steps.length - 1;
  for (const [n, step] of steps.entries()) {
    // The last event of an agent's run ends its topic; that of an open one does not.
    await publishTick(topic, n, { token: publisherToken(), ...step });
  }
  if (!manyUsers) await call('mutation', 'topic.close', { token: publisherToken(), input: { topic } });
  await follower.done;
  expect(
    'five agent events arrive in order',
    seen.map(({ name }) => name).join() === steps.map(({ name }) => name).join(),
  );

  const history = await call<{ events: readonly TopicEvent[] }>('query', 'topic.history', { token, input: { topic } });
  const positions = (history.data?.events ?? []).map(({ position }) => position).join();
  expect('the log holds them at the same positions', positions === seen.map(({ position }) => position).join());
  const state = await call<{ state: { n: number } }>('query', 'topic.state', { token, input: { topic } });
  expect('the state is that of the last', state.data?.state?.n === last);
  if (!manyUsers) return;
  const other = await call('query', 'topic.state', { token: tokenFor('k6-other'), input: { topic } });
  expect("another's topic is not there", other.reason === 'TOPIC_UNKNOWN');
}

/** Connections that are all cut in the middle, and miss nothing. */
async function checkLoad(run: string): Promise<void> {
  const untilMs = Date.now() + seconds * 1_000 + patienceMs;
  const topic = `public:${run}`;
  const users = Array.from({ length: Math.ceil(size / perUser) }, (_, user) => user);
  const followers = users.flatMap((user) => seat(user, { size, perUser, untilMs, topicsOf: () => [topic] }));
  await Promise.all(followers.map((follower) => follower.live));
  const published = publishTicks({ token: publisherToken(), topics: [topic], perSecond, seconds });
  await wait(seconds * 500);
  for (const follower of followers) follower.reconnect();
  await Promise.all([published, ...followers.map((follower) => follower.done)]);
}
