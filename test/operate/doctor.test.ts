import { expect, test } from 'bun:test';
import { resolve } from 'node:path';
import { spawnChild } from '../harness/child.ts';
import { freePort } from '../harness/port.ts';
import { startRedis } from '../harness/redis.ts';
import { startServer } from '../harness/server.ts';
import { mintToken, testSecret } from '../harness/tokens.ts';
import { within } from '../harness/wait.ts';
import { startBalancer } from './balancer.ts';

const main = resolve(import.meta.dir, '../../load/doctor/main.ts');

interface Report {
  readonly exitCode: number;
  readonly text: string;
}

async function doctor(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Report> {
  await using child = spawnChild([process.execPath, main, ...args], { env: { PATH: process.env.PATH ?? '', ...env } });
  const exitCode = await within(child.exited, { timeoutMs: 60_000, what: 'the doctor' });
  return { exitCode, text: child.lines.join('\n') };
}

const outcomes = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(/^(ok|FAIL|-) +(\w+(?:[ -]\w+)?) {2,}/gm)].map(([, outcome, name]) => [name, outcome]),
  );

test('the doctor passes through a balancer that is not sticky, and prints no secret', async () => {
  await using redis = await startRedis();
  const ports = [await freePort(), await freePort()] as const;
  const env = { REDIS_URL: redis.url, TRUST_PROXY: 'true' };
  await using one = await startServer({ env: { ...env, PORT: String(ports[0]) } });
  await using two = await startServer({ env: { ...env, PORT: String(ports[1]) } });
  await using balancer = await startBalancer(ports);
  await balancer.hasUp(2);
  const { exitCode, text } = await doctor([balancer.url, '--idle', '1'], { JWT_SECRET: testSecret });
  expect(text).toContain('13 passed, 0 failed, 0 left out');
  expect(text).toContain('met 2 instances');
  expect(text, 'the balancer keeps metrics to itself').toContain('not shown to strangers (404)');
  expect(text).not.toMatch(/ut1_|eyJ|harness-secret/);
  expect(exitCode).toBe(0);
  // Both replicas took a share, and the doctor left nothing behind.
  for (const server of [one, two]) expect(server.logs().some(({ msg }) => msg === 'Ticket pass')).toBe(true);
  expect(await redis.command('KEYS', '*agent:*')).toEqual([]);
});

test('instances that do not share one Redis are found', async () => {
  const ports = [await freePort(), await freePort()] as const;
  await using _one = await startServer({ env: { PORT: String(ports[0]) } });
  await using _two = await startServer({ env: { PORT: String(ports[1]) } });
  await using balancer = await startBalancer(ports);
  await balancer.hasUp(2);
  const { exitCode, text } = await doctor([balancer.url, '--timeout', '2'], { JWT_SECRET: testSecret });
  expect(exitCode).toBe(1);
  expect(text).toContain('FAIL');
});

test('a proxy that does not pass upgrades on is found, and told from an Usher that refuses', async () => {
  await using server = await startServer();
  const proxy = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      const headers = new Headers(request.headers);
      for (const name of ['upgrade', 'connection', 'host']) headers.delete(name);
      const body = request.method === 'GET' ? undefined : await request.arrayBuffer();
      return fetch(`${server.url}${pathname}${search}`, { method: request.method, headers, ...(body && { body }) });
    },
  });
  const { exitCode, text } = await doctor([`http://127.0.0.1:${proxy.port}`], { JWT_SECRET: testSecret });
  await proxy.stop(true);
  expect(exitCode).toBe(1);
  expect(outcomes(text)).toMatchObject({ health: 'ok', 'sign-in': 'ok', ticket: 'FAIL', events: '-', polling: 'ok' });
  expect(text).toContain('hint: Does every proxy in between pass upgrades on');
});

test('one token alone leaves the isolation step out; a token without the scope is told so', async () => {
  await using server = await startServer();
  const reads = await mintToken({ userId: 'ann' });
  const publishes = await mintToken({ userId: 'ann', scopes: ['publish'] });
  const refused = await doctor([server.url], { USHER_TOKEN: reads });
  expect(refused.exitCode).toBe(1);
  expect(outcomes(refused.text)).toMatchObject({ 'sign-in': 'ok', ticket: 'ok', events: 'FAIL', isolation: '-' });
  expect(refused.text).toContain('lacks the scope "publish"');
  const two = await doctor([server.url], { USHER_TOKEN: reads, USHER_PUBLISH_TOKEN: publishes });
  expect(two.exitCode).toBe(0);
  expect(outcomes(two.text)).toMatchObject({ events: 'ok', isolation: '-' });
});

test('it works where authentication is disabled, as JSON too', async () => {
  await using server = await startServer({ env: { DISABLE_AUTH: 'true', JWT_SECRET: '' } });
  const { exitCode, text } = await doctor([server.url, '--json']);
  expect(exitCode).toBe(0);
  const report = JSON.parse(text) as { failed: number; warnings: string[]; steps: { name: string; outcome: string }[] };
  expect(report.failed).toBe(0);
  expect(report.warnings.join()).toContain('authentication is disabled');
  expect(report.steps.find(({ name }) => name === 'isolation')?.outcome).toBe('left out');
});

test('wrong arguments end with 64, --help with 0', async () => {
  expect((await doctor(['--help'])).exitCode).toBe(0);
  for (const args of [
    [],
    ['nonsense'],
    ['http://a', 'http://b'],
    ['http://a', '--connections', '0'],
    ['http://a', '--no'],
  ]) {
    const { exitCode, text } = await doctor(args);
    expect({ args, exitCode }).toEqual({ args, exitCode: 64 });
    expect(text).toContain('doctor');
  }
});
