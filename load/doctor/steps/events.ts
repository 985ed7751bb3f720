import { Finding } from '../finding.ts';
import type { Item, Subscription } from '../socket.ts';
import type { Visit } from '../visit.ts';

/** A run of an agent, as its topic defines it; the last event closes it. */
const run: readonly (readonly [name: string, data: object])[] = [
  ['agent_started', {}],
  ['agent_thinking', { text: 'What is wrong here?' }],
  ['tool_executing', { tool: 'stethoscope', input: { at: 'heart' } }],
  ['tool_completed', { tool: 'stethoscope', output: 'regular', durationMs: 1 }],
  ['agent_completed', { result: 'healthy' }],
];

/** Reads one item and fails unless it is of this type. */
export async function expectItem(subscription: Subscription, type: string): Promise<Item> {
  const item = await subscription.next(`an item "${type}"`);
  if (item.type !== type) throw new Finding(`Wanted an item "${type}": it was "${item.type}"`);
  return item;
}

export async function checkEvents({ makeTopic, connect, publish }: Visit): Promise<string> {
  const topic = await makeTopic();
  const subscription = (await connect()).subscribe({ topic });
  await expectItem(subscription, 'snapshot');
  const tookMs: number[] = [];
  for (const [name, data] of run) {
    const startedAt = performance.now();
    const position = await publish(topic, name, data);
    const { event } = await expectItem(subscription, 'event');
    tookMs.push(performance.now() - startedAt);
    if (event?.name !== name || event.position !== position) {
      throw new Finding(`Wanted the event ${name} at ${position}: it was ${event?.name} at ${event?.position}`);
    }
  }
  await expectItem(subscription, 'closed');
  return `${run.map(([name]) => name).join(', ')}, then closed; at most ${Math.round(Math.max(...tookMs))} ms from publish to arrival`;
}

export async function checkResume({ makeTopic, connect, publish }: Visit): Promise<string> {
  const topic = await makeTopic();
  const first = await connect();
  const before = first.subscribe({ topic });
  await expectItem(before, 'snapshot');
  await publish(topic, 'agent_started');
  const { id } = await expectItem(before, 'event');
  await first.close();
  const missed = [await publish(topic, 'agent_thinking'), await publish(topic, 'agent_thinking')];
  const after = (await connect()).subscribe({ topic }, id);
  const item = await after.next('the first item after a reconnect');
  if (item.type !== 'resumed') {
    const hint =
      'The log did not hold what was published a moment ago: do all instances share one Redis, and does it evict?';
    throw new Finding(`A connection that came back was told "${item.type}", not "resumed"`, hint);
  }
  for (const position of missed) {
    const { event } = await expectItem(after, 'event');
    if (event?.position !== position)
      throw new Finding(`Wanted the event at ${position}: it was at ${event?.position}`);
  }
  return 'a connection that came back got the two events it had missed, once each';
}

export async function checkConcurrency({ makeTopic, connect, publish, options }: Visit): Promise<string> {
  const topic = await makeTopic();
  const sockets = await Promise.all(Array.from({ length: options.connections }, () => connect()));
  const subscriptions = sockets.map((socket) => socket.subscribe({ topic }));
  await Promise.all(subscriptions.map((subscription) => expectItem(subscription, 'snapshot')));
  const events = 20;
  const positions = await Promise.all(Array.from({ length: events }, () => publish(topic, 'agent_thinking')));
  const seen = await Promise.all(
    subscriptions.map(async (subscription) => {
      const got: string[] = [];
      for (let at = 0; at < events; at += 1) got.push((await expectItem(subscription, 'event')).event?.position ?? '');
      return got;
    }),
  );
  const [order] = seen;
  if (new Set(order).size !== events || positions.some((position) => !order?.includes(position))) {
    throw new Finding(`A connection got ${new Set(order).size} of ${events} events`);
  }
  if (seen.some((got) => got.join() !== order?.join()))
    throw new Finding('Connections saw the same events in another order');
  return `${options.connections} connections, each got ${events} events, once, in one order`;
}
