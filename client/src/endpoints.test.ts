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

test('createEndpoints() refuses what is no http URL', () => {
  for (const url of ['ftp://x', 'nonsense', '']) expect(() => createEndpoints(url)).toThrow(TypeError);
});

test('checkOptions() names the option that cannot be', () => {
  const wrong = (options: object) => expect(() => checkOptions(options)).toThrow(TypeError);
  wrong({ heartbeat: { intervalMs: Number.NaN } });
  wrong({ retry: { initialMs: -1 } });
  wrong({ retry: { multiplier: 0.5 } });
  wrong({ ticket: { retryDelaysMs: [200, -1] } });
  checkOptions({
    retry: { multiplier: 1, maxRetries: Number.POSITIVE_INFINITY },
    clock: new (class {
      bad = -1;
    })(),
  });
});
