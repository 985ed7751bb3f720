import { expect, test } from 'bun:test';
import { type ChecksOptions, createChecks } from './checks.ts';
import { createHealth } from './health.ts';

const options: ChecksOptions = {
  redis: null,
  probe: null,
  memory: null,
  availability: { available: true, onChange: () => () => {} },
  leaving: { since: null },
  eventLoop: { lagMs: 3.4, close() {} },
  connections: () => 5,
  maxConnections: 10,
};

const ready = (given: Partial<ChecksOptions> = {}) =>
  createHealth({ version: '1', instanceId: 'a', checks: createChecks({ ...options, ...given }) }).ready();

test('in memory every check passes', () => {
  expect(ready()).toEqual({
    status: 'ok',
    version: '1',
    instanceId: 'a',
    checks: {
      redis: { ok: true, mode: 'memory' },
      delivery: { ok: true, mode: 'memory' },
      draining: { ok: true },
      eventLoop: { ok: true, lagMs: 3 },
      limits: { ok: true, connections: 5, maxConnections: 10 },
      eviction: { ok: true, mode: 'memory' },
    },
  });
});

test('an instance that leaves, or whose timers are late, is not ready', () => {
  expect(ready({ leaving: { since: 7 } })).toMatchObject({
    status: 'unavailable',
    checks: { draining: { ok: false, since: 7 } },
  });
  expect(ready({ eventLoop: { lagMs: 5_000, close() {} } })).toMatchObject({
    status: 'unavailable',
    checks: { eventLoop: { ok: false, lagMs: 5_000 } },
  });
});

test('an instance that is nearly full warns and stays ready', () => {
  const { status, checks } = ready({ connections: () => 9 });
  expect(status).toBe('ok');
  expect(checks.limits).toEqual({
    ok: true,
    connections: 9,
    maxConnections: 10,
    warning: '9 of 10 connections: at the limit upgrades are refused',
  });
});

test('a probe that knows why it failed says so', () => {
  const probe = { ok: false, ageMs: 7_300.4, reason: 'NOPERM', close() {} };
  expect(ready({ probe }).checks.delivery).toEqual({ ok: false, ageMs: 7_300, reason: 'NOPERM' });
});
