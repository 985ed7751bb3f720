import { afterEach, beforeEach, expect, jest, test } from 'bun:test';
import { type Logger, pino } from 'pino';
import type { RedisState } from './connection.ts';
import { createLine, type LineClient, type LineOptions } from './line.ts';

/** A client whose every answer the test gives. */
class ScriptedClient implements LineClient {
  destroyed = false;
  readonly connected = Promise.withResolvers<void>();
  readonly checks: PromiseWithResolvers<void>[] = [];
  lose: (cause: unknown) => void = () => {};

  connect(): Promise<void> {
    return this.connected.promise;
  }

  destroy(): void {
    this.destroyed = true;
  }

  check(): Promise<void> {
    const asked = Promise.withResolvers<void>();
    this.checks.push(asked);
    return asked.promise;
  }

  onEnd(listener: (cause: unknown) => void): void {
    this.lose = listener;
  }
}

interface LogLine {
  readonly level: number;
  readonly msg: string;
}

const turn = async (): Promise<void> => {
  for (let n = 0; n < 10; n += 1) await Promise.resolve();
};
const pass = async (ms: number): Promise<void> => {
  await turn();
  jest.advanceTimersByTime(ms);
  await turn();
};

let clients: ScriptedClient[];
let lines: LogLine[];
const newest = (): ScriptedClient => clients.at(-1) as ScriptedClient;

const open = (options: Partial<LineOptions<ScriptedClient>> = {}) => {
  const log: Logger = pino(
    { level: 'info' },
    { write: (text: string) => void lines.push(JSON.parse(text) as LogLine) },
  );
  const line = createLine<ScriptedClient>({
    name: 'commands',
    log,
    make() {
      const client = new ScriptedClient();
      clients.push(client);
      return client;
    },
    random: () => 0.5,
    ...options,
  });
  const states: RedisState[] = [];
  line.onState((state) => states.push(state));
  return { line, states };
};

beforeEach(() => {
  clients = [];
  lines = [];
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

test('a line is away until its client has connected and is prepared', async () => {
  const prepared = Promise.withResolvers<void>();
  const { line, states } = open({ prepare: () => prepared.promise });
  newest().connected.resolve();
  await turn();
  expect([line.state, line.client]).toEqual(['away', null]);
  prepared.resolve();
  await turn();
  expect([line.state, line.client]).toEqual(['ready', newest()]);
  expect(states).toEqual(['ready']);
  line.close();
});

test('a connect that never answers is given up after its time, and tried again after 1, 2, 4 and then 5 s', async () => {
  const { line } = open({ connectTimeoutMs: 5_000 });
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 6; attempt += 1) {
    expect(clients).toHaveLength(attempt);
    await pass(5_000);
    expect(newest().destroyed).toBe(true);
    let waitedMs = 0;
    for (; clients.length === attempt; waitedMs += 500) await pass(500);
    waits.push(waitedMs);
  }
  expect(waits).toEqual([1_000, 2_000, 4_000, 5_000, 5_000, 5_000]);
  expect(lines.filter(({ msg }) => msg === '[Redis] away')).toHaveLength(1);
  line.close();
});

test('a connect that answers after it was given up changes nothing', async () => {
  const { line, states } = open();
  await pass(5_000);
  newest().connected.resolve();
  await turn();
  expect(states).toEqual([]);
  await pass(1_000);
  expect(clients).toHaveLength(2);
  line.close();
});

test('a lost client makes the line away at once, with one warning, and the next one makes it ready', async () => {
  const { line, states } = open();
  newest().connected.resolve();
  await turn();
  newest().lose(new Error('gone'));
  expect([line.state, line.client]).toEqual(['away', null]);
  await pass(1_000);
  newest().connected.resolve();
  await turn();
  expect(states).toEqual(['ready', 'away', 'ready']);
  expect(lines.filter(({ level }) => level >= 40)).toHaveLength(1);
  line.close();
});

test('a client that is late with a check is away after a second, and kept if it answers after all', async () => {
  const { line, states } = open();
  newest().connected.resolve();
  await pass(2_000);
  expect(newest().checks).toHaveLength(1);
  await pass(1_000);
  expect(line.state).toBe('away');
  await pass(1_000);
  newest().checks[0]?.resolve();
  await turn();
  expect([line.state, clients.length, newest().destroyed]).toEqual(['ready', 1, false]);
  expect(states).toEqual(['ready', 'away', 'ready']);
  line.close();
});

test('a client that does not answer a check at all is thrown away', async () => {
  const { line } = open();
  newest().connected.resolve();
  await pass(2_000);
  await pass(5_000);
  expect(newest().destroyed).toBe(true);
  await pass(1_000);
  expect(clients).toHaveLength(2);
  line.close();
});

test('suspect() leaves a client alone that is still connecting', async () => {
  const { line } = open();
  newest().connected.resolve();
  await turn();
  newest().lose(new Error('gone'));
  await pass(1_000);
  for (let n = 0; n < 20; n += 1) line.suspect();
  expect(newest().checks).toHaveLength(0);
  newest().connected.resolve();
  await turn();
  expect([line.state, clients.length]).toEqual(['ready', 2]);
  line.close();
});

test('suspect() asks once, however many commands were late', async () => {
  const { line } = open();
  newest().connected.resolve();
  await turn();
  for (let n = 0; n < 20; n += 1) line.suspect();
  expect(newest().checks).toHaveLength(1);
  line.close();
});

test('restart() opens another client at once, and only in the place of the client it was meant for', async () => {
  const { line, states } = open();
  newest().connected.resolve();
  await turn();
  const first = newest();
  line.restart('nothing came', first);
  expect(first.destroyed).toBe(true);
  expect(clients).toHaveLength(2);
  newest().connected.resolve();
  await turn();
  line.restart('a late complaint about the first', first);
  expect(clients).toHaveLength(2);
  expect(states).toEqual(['ready', 'away', 'ready']);
  line.close();
});

test('close() leaves no timer and no client behind, whatever was under way', async () => {
  for (const until of ['connecting', 'waiting to try again', 'ready', 'checking'] as const) {
    const { line, states } = open();
    if (until === 'waiting to try again') newest().connected.reject(new Error('refused'));
    else if (until !== 'connecting') newest().connected.resolve();
    await pass(until === 'checking' ? 2_000 : 0);
    const heard = states.length;
    line.close();
    // What was asked is answered by the end of the client.
    newest().connected.reject(new Error('destroyed'));
    for (const check of newest().checks) check.reject(new Error('destroyed'));
    await turn();
    expect(jest.getTimerCount()).toBe(0);
    expect(newest().destroyed).toBe(true);
    expect(states).toHaveLength(heard);
    expect(line.client).toBeNull();
  }
});
