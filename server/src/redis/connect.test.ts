import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type Logger, pino } from 'pino';
import { startProxy } from '../../../test/harness/proxy.ts';
import { type Redis, startRedis } from '../../../test/harness/redis.ts';
import { startReplica } from '../../../test/harness/redis-replica.ts';
import { eventually } from '../../../test/harness/wait.ts';
import { type ConnectOptions, connectRedis } from './connect.ts';
import { RedisAwayError, type RedisConnection } from './connection.ts';

setDefaultTimeout(30_000);

let redis: Redis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

const silent: Logger = pino({ level: 'silent' });
const url = (port: number): string => `redis://127.0.0.1:${port}`;

type Open = RedisConnection & AsyncDisposable;
const connect = (port: number, options: Partial<ConnectOptions> = {}): Open => {
  const connection = connectRedis({ urls: [url(port)], log: silent, ...options });
  return Object.defineProperty(connection, Symbol.asyncDispose, { value: connection.close }) as Open;
};
const isReady = (connection: RedisConnection): Promise<unknown> =>
  eventually(() => connection.state === 'ready' && connection.delivery === 'ready', { what: 'both lines' });
const isAway = (connection: RedisConnection): Promise<unknown> =>
  eventually(() => connection.state === 'away' && connection.delivery === 'away', { what: 'both lines to go' });
const refusal = async (promise: Promise<unknown>): Promise<RedisAwayError> => {
  const error = await promise.then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(RedisAwayError);
  return error as RedisAwayError;
};

let channels = 0;
const newChannel = (): string => {
  channels += 1;
  return `{channel${channels}}`;
};
const subscribers = async (channel: string): Promise<number> => {
  const answer = (await redis.command('PUBSUB', 'SHARDNUMSUB', channel)) as [string, number];
  return Number(answer[1]);
};
const heardBy = () => {
  const heard: string[] = [];
  return { heard, listener: (message: string) => void heard.push(message) };
};

test('a command is refused at once, and was surely not carried out, while Redis is away', async () => {
  await using proxy = await startProxy(redis.port);
  proxy.cut();
  await using connection = connect(proxy.port);
  expect((await refusal(connection.send('k', ['SET', 'k', '1']))).ambiguous).toBe(false);
  expect((await refusal(connection.subscribe(newChannel(), () => {}))).ambiguous).toBe(false);
  proxy.pass();
  await isReady(connection);
  expect(await connection.send('k', ['PING'])).toBe('PONG');
});

test('an answer that is lost with its connection leaves it open whether the command was carried out', async () => {
  await using proxy = await startProxy(redis.port);
  await using connection = connect(proxy.port);
  await isReady(connection);
  proxy.blackhole('down');
  const sent = refusal(connection.send('k', ['INCR', 'lost-answer']));
  await eventually(async () => (await redis.command('GET', 'lost-answer')) === '1');
  proxy.cut();
  expect((await sent).ambiguous).toBe(true);
});

test('a frozen Redis leaves commands unanswered for their time, and is found again on the same connection', async () => {
  await using own = await startRedis();
  await using connection = connect(own.port);
  await isReady(connection);
  const idOf = async () => Number(await connection.send('k', ['CLIENT', 'ID']));
  const id = await idOf();
  own.freeze();
  expect((await refusal(connection.send('k', ['PING'], { timeoutMs: 50 }))).ambiguous).toBe(true);
  await isAway(connection);
  own.thaw();
  await isReady(connection);
  expect(await idOf()).toBe(id);
});

test('what was subscribed before a cut is heard after it, and takes few commands', async () => {
  await using own = await startRedis();
  await using proxy = await startProxy(own.port);
  await using connection = connect(proxy.port);
  await isReady(connection);
  const { heard, listener } = heardBy();
  const names = Array.from({ length: 2_000 }, newChannel);
  await Promise.all(names.map((name) => connection.subscribe(name, listener)));
  await own.command('CONFIG', 'RESETSTAT');
  proxy.drop();
  await isAway(connection);
  await isReady(connection);
  for (const name of names) await connection.send(name, ['SPUBLISH', name, name]);
  await eventually(() => heard.length === names.length);
  expect(heard).toEqual(names);
  const stats = String(await own.command('INFO', 'commandstats'));
  expect(Number(/cmdstat_ssubscribe:calls=(\d+)/.exec(stats)?.[1])).toBeLessThan(10);
});

test('what is subscribed while a line is being prepared stands when the line is ready', async () => {
  await using proxy = await startProxy(redis.port);
  await using connection = connect(proxy.port);
  await isReady(connection);
  const [before, during, gone] = [newChannel(), newChannel(), newChannel()];
  const [first, second, third] = [heardBy(), heardBy(), heardBy()];
  await connection.subscribe(before, first.listener);
  await connection.subscribe(gone, third.listener);
  proxy.drop();
  await isAway(connection);
  await redis.command('CONFIG', 'RESETSTAT');
  // Answers take a second, so that the new line has sent what it knows and not yet heard of it.
  proxy.delay(1_000, 'down');
  await eventually(async () => String(await redis.command('INFO', 'commandstats')).includes('ssubscribe'));
  proxy.blackhole('down');
  await refusal(connection.subscribe(during, second.listener));
  await connection.unsubscribe(gone, third.listener);
  proxy.pass();
  await isReady(connection);
  for (const name of [before, during, gone]) await connection.send(name, ['SPUBLISH', name, 'x']);
  await eventually(() => first.heard.length === 1 && second.heard.length === 1);
  expect(third.heard).toEqual([]);
  await eventually(async () => (await subscribers(gone)) === 0, { what: 'the channel nobody wants to be left' });
});

test('a subscription that overtakes the end of the one before it stands', async () => {
  await using proxy = await startProxy(redis.port);
  await using connection = connect(proxy.port);
  await isReady(connection);
  const channel = newChannel();
  const [first, second] = [heardBy(), heardBy()];
  // Redis has it, and this side does not know yet.
  proxy.delay(200, 'down');
  const given = connection.subscribe(channel, first.listener);
  await eventually(async () => (await subscribers(channel)) === 1, { intervalMs: 1 });
  const left = connection.unsubscribe(channel, first.listener);
  await given;
  await connection.subscribe(channel, second.listener);
  await left;
  await connection.send(channel, ['SPUBLISH', channel, 'x']);
  await eventually(() => second.heard.length === 1);
  expect(first.heard).toEqual([]);
});

test('two who listen to one channel do not end it for each other', async () => {
  await using connection = connect(redis.port);
  await isReady(connection);
  const channel = newChannel();
  const [first, second] = [heardBy(), heardBy()];
  await Promise.all([
    connection.subscribe(channel, first.listener),
    connection.unsubscribe(channel, first.listener),
    connection.subscribe(channel, second.listener),
  ]);
  await connection.subscribe(channel, first.listener);
  await connection.unsubscribe(channel, second.listener);
  await connection.send(channel, ['SPUBLISH', channel, 'x']);
  await eventually(() => first.heard.length === 1);
  expect(second.heard).toEqual([]);
  await connection.unsubscribe(channel, first.listener);
  expect(await subscribers(channel)).toBe(0);
});

test('a listener that throws takes nothing from the others, nor from the line', async () => {
  await using connection = connect(redis.port);
  await isReady(connection);
  const channel = newChannel();
  const { heard, listener } = heardBy();
  await connection.subscribe(channel, () => {
    throw new Error('a listener of the test throws');
  });
  await connection.subscribe(channel, listener);
  for (const message of ['1', '2']) await connection.send(channel, ['SPUBLISH', channel, message]);
  await eventually(() => heard.length === 2);
  expect(connection.delivery).toBe('ready');
});

test('a subscription that Redis refuses costs nobody else theirs', async () => {
  await redis.command('ACL', 'SETUSER', 'narrow', 'on', '>secret', '~*', '+@all', 'resetchannels', '&{may}');
  await using connection = connect(redis.port, { urls: [`redis://narrow:secret@127.0.0.1:${redis.port}`] });
  await isReady(connection);
  const { heard, listener } = heardBy();
  await connection.subscribe('{may}', listener);
  await refusal(connection.subscribe('{may-not}', () => {}));
  expect(connection.delivery).toBe('ready');
  await redis.command('SPUBLISH', '{may}', 'x');
  await eventually(() => heard.length === 1);
});

test('a replica is no Redis to write to: away until it is promoted', async () => {
  await using replica = await startReplica(redis);
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  await using connection = connect(replica.port, { log });
  await eventually(() => lines.filter((line) => line.includes('Redis is a replica')).length === 2);
  expect(connection.state).toBe('away');
  await replica.promote();
  await isReady(connection);
});

test('a primary that was made a replica is let go of, though its connections stay', async () => {
  await using primary = await startRedis();
  await using next = await startRedis();
  await using connection = connect(primary.port);
  await isReady(connection);
  await primary.command('REPLICAOF', '127.0.0.1', String(next.port));
  expect((await refusal(connection.send('k', ['SET', 'k', '1']))).ambiguous).toBe(false);
  await isAway(connection);
  await primary.command('REPLICAOF', 'NO', 'ONE');
  await isReady(connection);
});

test('close() ends every connection, also one that is not there yet', async () => {
  await using proxy = await startProxy(redis.port);
  const ready = connect(proxy.port);
  await isReady(ready);
  const opening = connect(proxy.port);
  await eventually(() => proxy.counts().open >= 3, { intervalMs: 1 });
  await Promise.all([ready.close(), opening.close()]);
  for (let n = 0; n < 20; n += 1) await connect(proxy.port).close();
  await eventually(() => proxy.counts().accepted >= 40, { what: 'the sockets that were still on their way' });
  await eventually(() => proxy.counts().open === 0, { what: 'no connection to be left' });
  await refusal(ready.send('k', ['PING']));
});
