/**
 * What Usher does, in one screen: a worker publishes the events of a job, a subscriber sees them arrive.
 *
 *     bun run demo                                    starts a service for itself, all in memory
 *     bun run demo http://127.0.0.1:8787              uses one that runs
 *     USHER_TOKEN=… bun run demo https://example.com  with a token that may publish to, and read, job:*
 */
import { createUsher, type Topic } from '@usher/client';
import type { job } from '@usher/contracts';
import { startServer } from '../test/harness/server.ts';
import { within } from '../test/harness/wait.ts';

/** How long one answer or one item may take before the demo says that it does not work. */
const patienceMs = 10_000;

interface Step {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly progress: number;
}

const firstTry: readonly Step[] = [
  { name: 'job_started', data: { totalFiles: 2 }, progress: 0 },
  { name: 'file_processing', data: { file: 'a.csv', index: 1, total: 2 }, progress: 0.25 },
  { name: 'file_completed', data: { file: 'a.csv' }, progress: 0.5 },
  { name: 'file_processing', data: { file: 'b.csv', index: 2, total: 2 }, progress: 0.75 },
  { name: 'error', data: { message: 'Line 7 has no date', file: 'b.csv' }, progress: 0.75 },
  { name: 'job_failed', data: { message: '1 of 2 files failed' }, progress: 0.75 },
];

const secondTry: readonly Step[] = [
  { name: 'job_started', data: { totalFiles: 1 }, progress: 0 },
  { name: 'file_processing', data: { file: 'b.csv', index: 1, total: 1 }, progress: 0.5 },
  { name: 'file_completed', data: { file: 'b.csv' }, progress: 1 },
  { name: 'job_completed', data: {}, progress: 1 },
];

const say = (who: string, what: string): void => console.log(`${who.padEnd(12)}${what}`);

const statusAfter = (name: string): string =>
  name === 'job_failed' ? 'failed' : name === 'job_completed' ? 'completed' : 'running';

/** What a worker in any language does: one HTTP call an event, with the state the topic has from then on. */
async function publish(url: string, token: string | undefined, topic: string, step: Step): Promise<string> {
  const response = await fetch(`${url}/trpc/topic.publish`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify({
      topic,
      event: { name: step.name, data: step.data },
      state: { status: statusAfter(step.name), progress: step.progress },
      idempotencyKey: crypto.randomUUID(),
    }),
    signal: AbortSignal.timeout(patienceMs),
  });
  const answer = (await response.json()) as {
    readonly result?: { readonly data: { readonly position: string } };
    readonly error?: { readonly message: string };
  };
  if (answer.result === undefined) throw new Error(`Publishing was refused: ${answer.error?.message}`);
  return answer.result.data.position;
}

async function follow(url: string, token: string | undefined, topic: Topic<typeof job>, steps: readonly Step[]) {
  const subscription = topic.subscribe();
  const items = subscription[Symbol.asyncIterator]();
  const nextItem = async () => {
    const next = await within(items.next(), { timeoutMs: patienceMs, what: 'the subscriber to be told something' });
    if (next.done) throw new Error('The subscription ended early');
    return next.value;
  };
  const first = await nextItem();
  say('subscriber', `is on ${topic.topic} and is told first where it stands: ${first.type}`);
  for (const step of steps) {
    const position = await publish(url, token, topic.topic, step);
    say('worker', `publishes  ${step.name.padEnd(16)}position ${position}`);
    const item = await nextItem();
    if (item.type !== 'event' || item.event.position !== position) {
      throw new Error(`Wanted the event at ${position}: current value is "${JSON.stringify(item)}"`);
    }
    say('subscriber', `sees       ${item.event.name.padEnd(16)}${JSON.stringify(item.event.data)}`);
  }
  const last = await nextItem();
  say('subscriber', `is told that the topic has ended: ${last.type}`);
  const { state } = await topic.state();
  say('latecomer', `asks for the state and gets ${JSON.stringify(state)}\n`);
}

async function demo(): Promise<void> {
  const given = process.argv[2];
  const token = process.env.USHER_TOKEN;
  await using started = given === undefined ? await startServer({ env: { DISABLE_AUTH: 'true' } }) : undefined;
  const url = (started?.url ?? given ?? '').replace(/\/$/, '');
  await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(patienceMs) }).catch((cause: unknown) => {
    throw new Error(`No service answers at "${url}"`, { cause });
  });
  say('service', `${url}${started ? ', started for this demo, all in memory' : ''}`);

  let tickets = 0;
  await using usher = createUsher({
    url,
    ...(token !== undefined && { token }),
    fetch: Object.assign(
      async (...request: Parameters<typeof fetch>) => {
        const response = await fetch(...request);
        if (String(request[0]).endsWith('/ws-ticket') && response.ok) {
          tickets += 1;
          const { expiresInMs } = (await response.clone().json()) as { readonly expiresInMs: number };
          say('ticket', `POST /ws-ticket gave one, good for one connection within ${expiresInMs / 1_000} s`);
        }
        return response;
      },
      { preconnect: fetch.preconnect },
    ),
    onConnect: () => say('socket', `${url.replace(/^http/, 'ws')}/trpc?ticket=… is open`),
  });
  const id = `demo-${crypto.randomUUID().slice(0, 8)}`;
  await follow(url, token, usher.topic('job', `${id}-1`), firstTry);
  await follow(url, token, usher.topic('job', `${id}-2`), secondTry);
  const events = firstTry.length + secondTry.length;
  console.log(
    `${events} events arrived in order, over ${tickets === 1 ? 'one connection' : `${tickets} connections`}.`,
  );
  if (started) {
    console.log(`
Next: start a service with "bun start", and publish to it from another terminal:

  curl http://127.0.0.1:8787/trpc/topic.publish -d '{"topic":"job:1","event":{"name":"job_started","data":{}}}'`);
  }
}

try {
  await demo();
  process.exit(0);
} catch (error) {
  console.error(`The demo does not work: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
