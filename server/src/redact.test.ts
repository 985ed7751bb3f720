import { describe, expect, test } from 'bun:test';
import { redactLine, redactUrl } from './redact.ts';

const ticket = 'ut1_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';

describe('redactLine()', () => {
  for (const secret of [
    { ticket: 'planted' },
    { deep: { in: [{ token: 'planted "quoted" planted' }] } },
    { headers: { Authorization: 'Bearer planted', cookie: 'sid=planted', 'set-cookie': ['a=planted', 'b=planted'] } },
    { frame: JSON.stringify({ method: 'connectionParams', data: { ticket: 'planted' } }) },
    { url: '/trpc?connectionParams=1&ticket=planted&x=1' },
    { msg: 'refused Bearer planted-key-1' },
    { err: { message: 'connect redis://default:planted@10.0.0.1:6379 failed' } },
  ]) {
    test(`takes the secret out of ${JSON.stringify(secret)}`, () => {
      const line = redactLine(JSON.stringify(secret));
      expect(line).not.toContain('planted');
      expect(line).toContain('[redacted]');
      expect(() => JSON.parse(line)).not.toThrow();
    });
  }

  test('takes out tickets and JWTs wherever they stand', () => {
    expect(redactLine(`"msg":"pass ${ticket} came"`)).toBe('"msg":"pass [redacted] came"');
    expect(redactLine('got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln.')).toBe('got [redacted].');
  });

  test('leaves everything else as it is', () => {
    const line = JSON.stringify({
      msg: 'A valid bearer token is required; the ticket is unknown',
      ticketTtlMs: 30_000,
      source: 'redis',
      url: 'http://127.0.0.1:8787/trpc?x=1',
      user: 'ada@example.com',
    });
    expect(redactLine(line)).toBe(line);
  });
});

describe('redactUrl()', () => {
  for (const [url, expected] of [
    [`/trpc?ticket=${ticket}&x=1`, '/trpc?ticket=[redacted]&x=1'],
    ['/trpc?x=1&%74icket=planted', '/trpc?x=1&ticket=[redacted]'],
    ['/trpc?TICKET=planted&ticket=planted', '/trpc?TICKET=[redacted]&ticket=[redacted]'],
    ['ws://ada:planted@host/ws?access_token=planted', 'ws://[redacted]@host/ws?access_token=[redacted]'],
    [`/trpc?y=${ticket}`, '/trpc?y=[redacted]'],
    ['/trpc?ticket', '/trpc?ticket=[redacted]'],
    ['/trpc?', '/trpc?'],
    ['/readyz', '/readyz'],
    ['', ''],
  ] as const) {
    test(`turns ${url} into ${expected}`, () => {
      expect(redactUrl(url)).toBe(expected);
    });
  }

  test('takes a URL', () => {
    expect(redactUrl(new URL('http://host/ws?ticket=planted'))).toBe('http://host/ws?ticket=[redacted]');
  });
});
