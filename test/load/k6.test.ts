import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../harness/port.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import { type Server, startServer } from '../harness/server.ts';
import { mintToken, testSecret } from '../harness/tokens.ts';
import { type Balancer, startBalancer } from '../operate/balancer.ts';
import { k6, root, runK6 } from './k6.ts';

/** A list of tests that were left out says why. */
const title = k6 === null ? 'k6 1.6 or newer, which is neither on PATH nor in .usher/ (node setup.mjs need k6)' : 'k6';

const scripts = [...new Bun.Glob('load/*.ts').scanSync({ cwd: root })].sort();
const isForK6 = async (file: string): Promise<boolean> =>
  /from '\.\/k6\//.test(await Bun.file(join(root, file)).text());
const ours: string[] = [];
for (const file of scripts) if (await isForK6(file)) ours.push(file);

/** What k6 ends with when a threshold fails. */
const thresholdFailed = 99;
const timeoutMs = 150_000;
/** No claim about speed: other tests run beside this one. */
const anyDelivery = { DELIVERY_P95_MS: '60000' };

describe.skipIf(k6 === null)(title, () => {
  let redis: Redis;
  let servers: readonly Server[];
  let balancer: Balancer;
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'usher-k6-'));
    redis = await startRedis();
    const ports = [await freePort(), await freePort()] as const;
    const start = (port: number) => startServer({ env: { REDIS_URL: redis.url, PORT: String(port) } });
    servers = await Promise.all(ports.map(start));
    balancer = await startBalancer(ports);
    await balancer.hasUp(2);
  });
  afterAll(async () => {
    await balancer?.[Symbol.asyncDispose]();
    await Promise.all((servers ?? []).map((server) => server.kill()));
    await redis?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  test('the scripts are the seven that load/README.md names', async () => {
    const names = ['fallback', 'fanout', 'rooms', 'smoke', 'soak', 'storm', 'tickets'];
    expect(ours).toEqual(names.map((name) => `load/${name}.ts`));
    const manual = await Bun.file(join(root, 'load/README.md')).text();
    for (const name of names) expect(manual).toContain(`load/${name}.ts`);
  });

  test.each(ours)(
    '%s is a script k6 can load, with thresholds',
    async (script) => {
      const { exitCode, output } = await runK6(['inspect', script], {});
      expect(output).toContain('"thresholds"');
      expect(exitCode).toBe(0);
    },
    timeoutMs,
  );

  test(
    'smoke passes behind a balancer that is not sticky, and writes no ticket, token or secret',
    async () => {
      const out = join(directory, 'smoke.json');
      const env = { USHER_URL: balancer.url, JWT_SECRET: testSecret, ...anyDelivery };
      const { exitCode, output } = await runK6(['run', '--out', `json=${out}`, 'load/smoke.ts'], env);
      expect(output).toContain('five agent events arrive in order');
      expect({ exitCode, output }).toMatchObject({ exitCode: 0 });
      const written = `${output}\n${await Bun.file(out).text()}`;
      expect(written).toContain('usher_delivery_ms');
      for (const secret of ['ut1_', 'eyJ', testSecret]) expect(written).not.toContain(secret);
    },
    timeoutMs,
  );

  test(
    'smoke fails when a threshold fails',
    async () => {
      const env = { USHER_URL: balancer.url, JWT_SECRET: testSecret, DELIVERY_P95_MS: '0' };
      const { exitCode, output } = await runK6(['run', 'load/smoke.ts'], env);
      expect(output).toContain("thresholds on metrics 'usher_delivery_ms' have been crossed");
      expect(exitCode).toBe(thresholdFailed);
    },
    timeoutMs,
  );

  test(
    'tickets fails where tickets are refused',
    async () => {
      // One user, who may have 60 tickets a minute.
      const env = { USHER_URL: balancer.url, USHER_TOKEN: await mintToken(), RATE: '40', SECONDS: '3' };
      const { exitCode, output } = await runK6(['run', 'load/tickets.ts'], env);
      expect(output).toMatch(/thresholds on metrics '[^']*usher_admitted/);
      expect(exitCode).toBe(thresholdFailed);
    },
    timeoutMs,
  );

  test(
    'smoke fails at once with a wrong token, which it does not print',
    async () => {
      const token = await mintToken({ secret: 'another-secret-0123456789abcdef0123456789abcdef' });
      const { exitCode, output } = await runK6(['run', 'load/smoke.ts'], {
        USHER_URL: balancer.url,
        USHER_TOKEN: token,
      });
      expect(output).toContain('topic.create was refused: 401 UNAUTHORIZED');
      expect(output).not.toContain(token);
      expect(exitCode).not.toBe(0);
    },
    timeoutMs,
  );

  test.each(['http://192.0.2.1:8787', 'http://127.0.0.1.example.com', 'http://127.0.0.1@example.com', 'example.com'])(
    'smoke does not go to %s',
    async (url) => {
      const { exitCode, output } = await runK6(['run', 'load/smoke.ts'], { USHER_URL: url });
      expect(output).toContain(`current value is`);
      expect(exitCode).not.toBe(0);
    },
    timeoutMs,
  );

  test('a host that is no loopback has to be named', async () => {
    const args = ['inspect', '-e', 'USHER_URL=http://balancer:8080', 'load/smoke.ts'];
    expect((await runK6(args, {})).exitCode).not.toBe(0);
    expect((await runK6([...args, '-e', 'USHER_ALLOW_HOST=other'], {})).exitCode).not.toBe(0);
    expect((await runK6([...args, '-e', 'USHER_ALLOW_HOST=balancer'], {})).exitCode).toBe(0);
  });

  test(
    'a reader counts what is missing, doubled and reset',
    async () => {
      const { exitCode, output } = await runK6(['run', 'test/load/reader-counts.ts'], {});
      expect({ exitCode, output }).toMatchObject({ exitCode: 0 });
    },
    timeoutMs,
  );
});
