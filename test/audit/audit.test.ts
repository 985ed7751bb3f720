// The shorter run of `bun run audit`: every promise of the topic contract, under faults, with real servers and Redis.
import { expect, test } from 'bun:test';
import { runAudit } from '../../load/audit/audit.ts';
import type { AuditOptions } from '../../load/audit/options.ts';
import { describeReport } from '../../load/audit/report.ts';

/** A bound against hanging: a run that waits for everybody in vain tells who is behind before it. */
const timeoutMs = 240_000;

const small: AuditOptions = {
  seed: 1,
  seconds: 45,
  subscribers: 100,
  instances: 3,
  deno: 0,
  rate: 80,
  faults: [
    'server-kill',
    'server-term',
    'redis-freeze',
    'redis-restart',
    'redis-empty',
    'redis-rollback',
    'redis-kill-pubsub',
    'redis-kill-normal',
    'net-cut',
    'net-deaf',
    'pubsub-cut',
    'slow-readers',
    'storm',
  ],
  pairShare: 0.5,
  patienceMs: 40_000,
  env: {},
  onProgress: () => {},
};

test(
  'readers under faults miss nothing they are not told of, and every promise is kept',
  async () => {
    const progress: string[] = [];
    const report = await runAudit({ ...small, onProgress: (line) => progress.push(line) });
    const shown = `${progress.join('\n')}\n${describeReport(report)}`;
    expect(report.findings, shown).toEqual({ gap: 0, double: 0, reorder: 0, promise: 0, protocol: 0, blind: 0 });
    // It is no run without deliveries, promises, resumed readers, told gaps and faults that were recovered from.
    expect(report.totals.deliveries, shown).toBeGreaterThan(5_000);
    expect(report.promises.kept, shown).toBe(report.promises.made);
    expect(report.promises.made, shown).toBeGreaterThan(500);
    expect(report.totals.resumed, shown).toBeGreaterThan(50);
    expect(report.totals.resets.unknown, shown).toBeGreaterThan(50);
    expect(report.recoveries.length, shown).toBeGreaterThan(3);
    expect(
      report.recoveries.filter(({ seconds }) => seconds === null),
      shown,
    ).toEqual([]);
  },
  timeoutMs,
);

test(
  'without the gap check the same readers report what is lost',
  async () => {
    const report = await runAudit({
      ...small,
      seconds: 6,
      subscribers: 30,
      faults: ['pubsub-cut', 'redis-kill-pubsub'],
      pairShare: 0,
      // Nobody is healed, so that some never arrive.
      patienceMs: 3_000,
      env: { USHER_TEST_NO_GAP_CHECK: '1' },
    });
    expect(report.recoveries.length).toBeGreaterThan(0);
    expect(report.findings.gap).toBeGreaterThan(0);
    expect(report.findings.blind).toBe(0);
  },
  timeoutMs,
);
