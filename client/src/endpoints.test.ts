import { expect, test } from 'bun:test';
import { checkOptions } from './check-options.ts';
import { createEndpoints } from './endpoints.ts';

test('createEndpoints() works them out from one URL, with a prefix and without', () => {
  const plain = createEndpoints('https://example.com');
  expect([plain.trpc, plain.ticket]).toEqual(['https://example.com/trpc', 'https://example.com/ws-ticket']);
  expect(plain.socket('/trpc', 'a b/c')).toBe('wss://example.com/trpc?ticket=a%20b%2Fc');
  const prefixed = createEndpoints(new URL('http://localhost:8787/realtime/'));
  expect([prefixed.trpc, prefixed.socket('/trpc', 'x')]).toEqual([
    'http://localhost:8787/realtime/trpc',
    'ws://localhost:8787/realtime/trpc?ticket=x',
  ]);
});

test('createEndpoints() takes a ws URL for what was meant, and refuses what is no URL', () => {
  expect(createEndpoints('wss://example.com').ticket).toBe('https://example.com/ws-ticket');
  for (const url of ['nonsense', '']) expect(() => createEndpoints(url)).toThrow(TypeError);
});

test('checkOptions() names the option that cannot be', () => {
  const wrong = (name: string, options: object) =>
    expect(() => checkOptions({}, undefined, false, options)).toThrow(name);
  wrong('intervalMs', { intervalMs: Number.NaN });
  wrong('initialMs', { initialMs: -1 });
  wrong('multiplier', { multiplier: 0.5 });
  checkOptions({ multiplier: 1, maxRetries: Number.POSITIVE_INFINITY, waitMs: 0, url: 'x' });
});
