import { afterAll, beforeAll, expect, test } from 'bun:test';
import { join, resolve } from 'node:path';
import type { Published } from '@usher/contracts';
import { spawnChild } from '../harness/child.ts';
import { get, mutate, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import { type Server, startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { tryUpgrade } from '../harness/upgrade.ts';
import { eventually, within } from '../harness/wait.ts';

const root = resolve(import.meta.dir, '../..');
const ops = join(root, 'ops');

let redis: Redis;
let server: Server;
let token: string;
let metrics: string;

/** A little of everything an instance does. */
beforeAll(async () => {
  redis = await startRedis();
  server = await startServer({ env: { REDIS_URL: redis.url } });
  token = await publisherToken();
  await eventually(async () => (await get(server, '/readyz')).status === 200);
  const publish = async (n: number) =>
    mutate<Published>(
      server,
      'topic.publish',
      { topic: 'job:1', event: { name: 'job_started', data: { n } } },
      { token },
    );
  const first = await publish(1);
  await publish(2);
  const client = await openRaw(server, { token });
  const live = client.subscribe({ topic: 'job:1' }, { lastEventId: first.data?.position ?? '' });
  await live.until(({ type }) => type === 'event');
  await publish(3);
  await live.until(({ type }) => type === 'event');
  await query(server, 'topic.poll', { topic: 'job:1' }, { token });
  await tryUpgrade(server, '/trpc?ticket=ut1_unknown');
  await client.close();
  metrics = (await get(server, '/metrics')).text;
});
afterAll(async () => {
  await server?.kill();
  await redis?.[Symbol.asyncDispose]();
});

/** Series of this name, histograms by their parts: `usher_x_seconds_bucket`. */
const series = (name: string): readonly string[] =>
  metrics.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));

const value = (start: string): number =>
  Number(
    metrics
      .split('\n')
      .find((line) => line.startsWith(`${start} `))
      ?.split(' ')
      .at(-1),
  );

/** Every expression in a file, of alert rules or of a dashboard. */
const expressions = {
  'prometheus/alerts.yml': async (text: string): Promise<string[]> => {
    const { groups } = Bun.YAML.parse(text) as { groups: { rules: { expr: string }[] }[] };
    return groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
  },
  'grafana/usher.json': async (text: string): Promise<string[]> => {
    const { panels } = JSON.parse(text) as { panels: { targets?: { expr: string }[] }[] };
    return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  },
};

test.each(Object.entries(expressions))(
  '%s asks for metrics and labels that an instance under traffic has',
  async (file, read) => {
    const found = await read(await Bun.file(join(ops, file)).text());
    expect(found.length).toBeGreaterThan(15);
    const missing: string[] = [];
    for (const [, name = '', selector = ''] of found
      .join('\n')
      .matchAll(/\b((?:usher|process)_\w+)(?:\{([^}]*)\})?/g)) {
      const known = series(name);
      if (known.length === 0) missing.push(name);
      for (const [, label = '', values = ''] of selector.matchAll(/(\w+)=~?"([^"]*)"/g)) {
        if (label === 'job') continue;
        for (const wanted of values.split('|')) {
          if (!known.some((line) => line.includes(`${label}="${wanted}"`)))
            missing.push(`${name}{${label}="${wanted}"}`);
        }
      }
    }
    expect(missing).toEqual([]);
  },
);

test('the traffic is in the counts', () => {
  expect(value('usher_tickets_issued_total')).toBe(1);
  expect(value('usher_ticket_passes_total{source="redis"}')).toBe(1);
  expect(value('usher_ticket_passes_total{source="miss"}')).toBe(1);
  expect(value('usher_ticket_opens_total{outcome="established"}')).toBe(1);
  expect(value('usher_refusals_total{code="TICKET_INVALID"}')).toBe(1);
  expect(value('usher_events_in_total{outcome="appended"}')).toBe(3);
  expect(value('usher_events_replayed_total')).toBe(1);
  expect(value('usher_events_delivered_total')).toBe(1);
  expect(value('usher_publish_to_deliver_seconds_count')).toBe(1);
  expect(value('usher_polls_total')).toBe(1);
  expect(value('usher_redis_command_seconds_count{answered="true"}')).toBeGreaterThan(5);
  expect(value('usher_redis_up{line="delivery"}')).toBe(1);
  expect(value('usher_redis_memory_bytes{kind="used"}')).toBeGreaterThan(100_000);
  expect(value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
  expect(value('process_cpu_seconds_total')).toBeGreaterThan(0);
});

test('every metric has a unit in its name, or counts, and no label without bound', () => {
  const names = [...metrics.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => ({ name, type }));
  expect(names.length).toBeGreaterThan(25);
  const wrong = names.filter(({ name, type }) => {
    if (type === 'counter') return !name.endsWith('_total');
    if (type === 'histogram') return !/_(seconds|bytes)$/.test(name);
    return false;
  });
  expect(wrong).toEqual([]);
  const labels = new Set([...metrics.matchAll(/[{,](\w+)="/g)].map(([, label]) => label));
  expect([...labels].sort()).toEqual(
    ['answered', 'check', 'code', 'kind', 'le', 'line', 'outcome', 'reason', 'runtime', 'source', 'version'].sort(),
  );
  expect(metrics).not.toMatch(/job:1|worker|ut1_/);
});

test('every alert has a section in the operators’ page, and the page has none that is not an alert', async () => {
  const rules = Bun.YAML.parse(await Bun.file(join(ops, 'prometheus/alerts.yml')).text()) as {
    groups: { rules: { alert: string; annotations: { runbook_url: string } }[] }[];
  };
  const alerts = rules.groups.flatMap((group) => group.rules);
  const page = await Bun.file(join(root, 'docs/operating.md')).text();
  const sections = [...page.matchAll(/^### (Usher\w+)$/gm)].map(([, name]) => name);
  expect(sections).toEqual(alerts.map(({ alert }) => alert));
  for (const { alert, annotations } of alerts) {
    expect(annotations.runbook_url).toBe(`docs/operating.md#${alert.toLowerCase()}`);
  }
});

const promtool = Bun.which('promtool');

test.skipIf(promtool === null)(
  'promtool accepts the configuration and the rules, and the rules fire as they should',
  async () => {
    for (const command of [
      ['check', 'config', 'prometheus.yml'],
      ['test', 'rules', 'alerts.test.yml'],
    ]) {
      await using child = spawnChild([promtool ?? '', ...command], { cwd: join(ops, 'prometheus') });
      const exitCode = await within(child.exited);
      expect({ exitCode, output: exitCode === 0 ? '' : child.lines.join('\n') }).toEqual({ exitCode: 0, output: '' });
    }
  },
);

test('a request leaves its traceId in the log, and hot paths are sampled', async () => {
  const answer = await get(server, '/metrics', { headers: { 'x-trace-id': 'trace-of-mine' } });
  expect(answer.headers.get('x-trace-id')).toBe('trace-of-mine');
  const passes = 60;
  await Promise.all(
    Array.from({ length: passes }, (_, at) =>
      tryUpgrade(server, '/trpc?ticket=ut1_unknown', { headers: { 'x-trace-id': `flood-${at}` } }),
    ),
  );
  const summary = await server.log(({ suppressed }) => Number(suppressed) > 0);
  const written = server.logs().filter(({ traceId }) => String(traceId).startsWith('flood-'));
  const suppressed = server.logs().reduce((sum, line) => sum + Number(line.suppressed ?? 0), 0);
  expect(summary.msg).toBe('Ticket pass');
  expect(written.length).toBeGreaterThan(0);
  expect(written.length + suppressed, 'none is lost without being counted').toBe(passes);
  expect(new Set(server.logs().map(({ instanceId }) => instanceId)).size).toBe(1);
});
