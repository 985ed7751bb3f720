// Run by Node 20, Bun and Deno, from the packed packages, over two versions of tRPC: web standards only.
import { createUsher, type Usher, type UsherError, type UsherOptions } from '@usher/client';
import { createPublisher } from '@usher/client/publisher';

interface Setting {
  /** The server, and a proxy before it that the test can break. */
  readonly url: string;
  readonly proxyPort: number;
  /** Does what is asked of the proxy, and mints tokens. */
  readonly controlUrl: string;
  /** tRPC 11.22 leaves a connection before it has another. */
  readonly movesFirst: boolean;
}

// Handed over as an argument: each of the three reads it without a permission or a global of its own.
const setting = JSON.parse((globalThis as { settingOfSuite?: string }).settingOfSuite ?? '') as Setting;
// biome-ignore lint/suspicious/noConsole: its output is what the test reads
const print = (line: string) => console.log(line);
const failures: string[] = [];
let passed = 0;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const same = (actual: unknown, wanted: unknown) => {
  if (JSON.stringify(actual) !== JSON.stringify(wanted)) {
    throw new Error(`Wanted ${JSON.stringify(wanted)}: current value is ${JSON.stringify(actual)}`);
  }
};
async function until(check: () => boolean, what: string, timeoutMs = 20_000) {
  const deadline = Date.now() + timeoutMs;
  while (!check()) {
    if (Date.now() > deadline) throw new Error(`Waited ${timeoutMs} ms for ${what}`);
    await sleep(10);
  }
}
const control = async (path: string): Promise<string> => (await fetch(`${setting.controlUrl}/${path}`)).text();
const token = () => control('token?expiresInSeconds=3600');

const base: typeof WebSocket =
  globalThis.WebSocket ?? ((await import(String('ws'))) as { default: typeof WebSocket }).default;
const sockets: WebSocket[] = [];
class ThroughProxy extends base {
  constructor(given: string | URL) {
    const url = new URL(given);
    url.port = String(setting.proxyPort);
    super(url);
    sockets.push(this as unknown as WebSocket);
  }
}

function start(options: Partial<UsherOptions> = {}) {
  const told: string[] = [];
  const usher = createUsher({
    url: setting.url,
    token,
    WebSocket: ThroughProxy as unknown as typeof WebSocket,
    retry: { initialMs: 50, maxMs: 400 },
    breaker: { openMs: 300 },
    fallback: { afterMs: 400 },
    polling: { waitMs: 2_000, minIntervalMs: 50 },
    onConnect: () => told.push('connect'),
    onDisconnect: (reason) => told.push(`disconnect ${reason}`),
    onReconnect: () => told.push('reconnect'),
    onFallback: () => told.push('fallback'),
    onRestore: () => told.push('restore'),
    onClose: (reason) => told.push(`close ${reason}`),
    ...options,
  });
  return { usher, told };
}

function read(usher: Usher, id: string) {
  const numbers: number[] = [];
  const items: string[] = [];
  usher.topic('public', id).subscribe({
    onItem: ({ type }) => items.push(type),
    onEvent: ({ event }) => numbers.push(event.data as number),
    onError: ({ code }) => items.push(code),
  });
  return { numbers, items };
}

function publish(id: string) {
  let count = 0;
  const publisher = createPublisher({ url: setting.url, token });
  const timer = setInterval(() => {
    count += 1;
    void publisher.publish({ topic: `public:${id}`, name: 'n', data: count });
  }, 10);
  return async () => {
    clearInterval(timer);
    await publisher.close();
    return Array.from({ length: count }, (_, n) => n + 1);
  };
}

async function test(name: string, run: () => Promise<void>) {
  try {
    await run();
    passed += 1;
    print(`(pass) ${name}`);
  } catch (error) {
    failures.push(name);
    print(`(fail) ${name}: ${error instanceof Error ? error.message : error}`);
  } finally {
    await control('pass');
  }
}

let topics = 0;
const newId = () => `portable-${Date.now()}-${++topics}`;

await test('for await reads a job from its snapshot to its end', async () => {
  const { usher } = start();
  const job = usher.topic('job', newId());
  await job.create({ state: { status: 'pending' } });
  const seen: string[] = [];
  for await (const item of job.subscribe()) {
    seen.push(item.type === 'event' ? item.event.name : item.type);
    if (item.type === 'snapshot') {
      await job.publish('job_started', {});
      await job.publish('job_completed', {});
    }
  }
  same(seen, ['snapshot', 'job_started', 'job_completed', 'closed']);
  usher.close();
});

await test('a connection that is cut again and again costs nothing', async () => {
  const { usher, told } = start();
  const id = newId();
  const { numbers, items } = read(usher, id);
  await until(() => items.length > 0, 'the snapshot');
  const stop = publish(id);
  for (let n = 0; n < 4; n += 1) {
    const before = numbers.length;
    await until(() => numbers.length > before + 10, 'events');
    await control('drop');
    await until(() => usher.state.status !== 'live', 'the loss');
    await until(() => usher.state.status === 'live', 'the way back');
  }
  const wanted = await stop();
  await until(() => numbers.length >= wanted.length, 'the last event');
  same(numbers, wanted);
  same(told.filter((line) => line === 'disconnect NETWORK').length, 4);
  usher.close();
});

await test('several topics share a connection, and each has its own events, however they come and go', async () => {
  const { usher } = start();
  const ids = [newId(), newId(), newId()];
  const stops = ids.map((id) => publish(id));
  const seen: string[][] = [[], [], []];
  for (let round = 0; round < 5; round += 1) {
    const subscriptions = ids.map((id, n) =>
      usher.topic('public', id).subscribe({ onEvent: ({ event }) => seen[n]?.push(`${id} ${event.data}`) }),
    );
    const counts = seen.map(({ length }) => length);
    await until(() => seen.every(({ length }, n) => length > (counts[n] ?? 0) + 3), `events of round ${round}`);
    for (const subscription of subscriptions) subscription.unsubscribe();
  }
  for (const stop of stops) await stop();
  ids.forEach((id, n) => {
    const numbers = (seen[n] ?? []).map((line) => line.split(' '));
    same([...new Set(numbers.map(([from]) => from))], [id]);
    const order = numbers.map(([, number]) => Number(number));
    same(
      order,
      [...new Set(order)].sort((a, b) => a - b),
    );
  });
  usher.close();
});

await test('it falls back to polling and returns, with no gap and no double', async () => {
  const { usher, told } = start();
  const id = newId();
  const { numbers, items } = read(usher, id);
  await until(() => items.length > 0, 'the snapshot');
  const stop = publish(id);
  for (let n = 0; n < 2; n += 1) {
    await control('cut');
    await until(() => usher.state.status === 'polling', 'polling');
    const before = numbers.length;
    await until(() => numbers.length > before + 30, 'events by polling');
    await control('pass');
    await until(() => usher.state.status === 'live', 'the way back');
  }
  const wanted = await stop();
  await until(() => numbers.length >= wanted.length, 'the last event');
  same(numbers, wanted);
  same(told.filter((line) => line === 'restore').length, 2);
  usher.close();
});

await test('a session that ends is renewed, and there is no storm of connections', async () => {
  const made = sockets.length;
  const { usher, told } = start({ token: () => control('token?expiresInSeconds=5') });
  const id = newId();
  const { numbers, items } = read(usher, id);
  await until(() => items.length > 0, 'the snapshot');
  const stop = publish(id);
  await until(() => sockets.length - made >= 3, 'two moves', 30_000);
  await sleep(500);
  const wanted = await stop();
  await until(() => numbers.length >= wanted.length, 'the last event');
  same(numbers, wanted);
  same([...new Set(told)], setting.movesFirst ? ['connect'] : ['connect', 'disconnect MOVED', 'reconnect']);
  if (sockets.length - made > 4) throw new Error(`${sockets.length - made} connections for two moves`);
  usher.close();
});

await test('a refused token closes the client, for callbacks and for await', async () => {
  const { usher, told } = start({ token: () => 'nonsense' });
  const { items } = read(usher, newId());
  const reading = (async () => {
    for await (const _ of usher.topic('public', newId()).subscribe());
  })();
  const code = await reading.catch((error: UsherError) => error.code);
  await until(() => items.length > 0, 'the error');
  same([code, items, told], ['UNAUTHORIZED', ['UNAUTHORIZED'], ['close UNAUTHORIZED']]);
});

await test('close() ends an attempt that waits', async () => {
  await control('cut');
  const { usher } = start({ fallback: false, retry: { initialMs: 60_000, maxMs: 60_000 } });
  read(usher, newId());
  await until(() => usher.state.status === 'connecting', 'an attempt');
  await sleep(300);
  usher.close();
  same(usher.state.status, 'closed');
});

print(`${passed} passed, ${failures.length} failed`);
if (failures.length > 0) throw new Error(failures.join('; '));
