import { Finding } from '../finding.ts';
import { accepted, type Visit } from '../visit.ts';

interface Polled {
  readonly items: readonly { readonly id: string; readonly item: { readonly type: string } }[];
  readonly lastEventId: string;
}

const waitMs = 8_000;

export async function checkPolling({ http, callers, makeTopic, publish }: Visit): Promise<string> {
  const topic = await makeTopic();
  const poll = async (input: object, what: string): Promise<Polled> =>
    accepted<Polled>(await http.query('topic.poll', { topic, ...input }, callers.first), what);

  const start = await poll({}, 'A first poll');
  if (start.items[0]?.item.type !== 'snapshot') throw new Finding('A first poll did not begin with a snapshot');
  const startedAt = performance.now();
  const waiting = poll({ lastEventId: start.lastEventId, waitMs }, 'A long poll');
  const published = await publish(topic, 'agent_started');
  const woken = await waiting;
  const tookMs = Math.round(performance.now() - startedAt);
  if (woken.items.length !== 1 || woken.items[0]?.id !== published) {
    const hint = 'The poll reached an instance that did not hear of the event: do all instances share one Redis?';
    throw new Finding(`A long poll got ${woken.items.length} items, not the one that was published`, hint);
  }
  const rest = await poll({ lastEventId: woken.lastEventId }, 'A poll with nothing new');
  if (rest.items.length > 0) throw new Finding('An event came twice to one who polls');
  return `snapshot, then a long poll that was answered by an event in ${tookMs} ms, then nothing twice`;
}
