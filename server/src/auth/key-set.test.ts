import { afterEach, describe, expect, test } from 'bun:test';
import { decodeProtectedHeader } from 'jose';
import { createLog } from '../log.ts';
import { type Issuer, startIssuer } from './issuer.fixture.ts';
import { createKeySet, type KeySet, KeySetAwayError, type KeySetOptions } from './key-set.ts';

const claims = { sub: 'ada', sid: 's1' };
const issuers: Issuer[] = [];

afterEach(async () => {
  await Promise.all(issuers.splice(0).map((issuer) => issuer.stop()));
});

interface Clock {
  nowMs: number;
}

async function setUp(options: Partial<KeySetOptions> = {}) {
  const issuer = await startIssuer('ES256');
  issuers.push(issuer);
  const clock: Clock = { nowMs: 1_000_000 };
  const lines: string[] = [];
  const log = createLog({ sink: { write: (line) => lines.push(line) } });
  const keySet = createKeySet({ url: issuer.url, log, now: () => clock.nowMs, timeoutMs: 200, ...options });
  return { issuer, clock, lines, keySet };
}

const keysFor = (keySet: KeySet, token: string) => {
  const [encoded = '', payload = '', signature = ''] = token.split('.');
  const header = decodeProtectedHeader(token);
  return keySet({ ...header, alg: header.alg ?? '' }, { protected: encoded, payload, signature });
};

describe('createKeySet()', () => {
  test('fetches once for many tokens', async () => {
    const { issuer, keySet } = await setUp();
    const token = await issuer.sign(claims);
    const found = await Promise.all(Array.from({ length: 20 }, () => keysFor(keySet, token)));
    expect(found.every((keys) => keys.length === 1)).toBe(true);
    expect(issuer.requests).toBe(1);
  });

  test('finds a key that was published after the last fetch', async () => {
    const { issuer, clock, keySet } = await setUp();
    await keysFor(keySet, await issuer.sign(claims));
    await issuer.rotate('key-2');
    clock.nowMs += 1_001;
    expect(await keysFor(keySet, await issuer.sign(claims))).toHaveLength(1);
    expect(issuer.requests).toBe(2);
  });

  test('knows no key that the issuer does not publish, and asks for it once in a cooldown', async () => {
    const { issuer, clock, keySet } = await setUp();
    await keysFor(keySet, await issuer.sign(claims));
    clock.nowMs += 1_001;
    for (let i = 0; i < 5; i += 1) {
      expect(await keysFor(keySet, await issuer.sign(claims, { kid: `unknown-${i}` }))).toEqual([]);
    }
    expect(issuer.requests).toBe(2);
  });

  test('drops a withdrawn key when the set is old', async () => {
    const { issuer, clock, keySet } = await setUp();
    const token = await issuer.sign(claims);
    expect(await keysFor(keySet, token)).toHaveLength(1);
    issuer.withdraw('key-1');
    clock.nowMs += 600_000;
    expect(await keysFor(keySet, token)).toEqual([]);
  });

  test('serves on with the keys it has while the issuer is away, up to maxStaleMs', async () => {
    const { issuer, clock, keySet } = await setUp();
    const token = await issuer.sign(claims);
    await keysFor(keySet, token);
    await issuer.stop();
    clock.nowMs += 600_000;
    expect(await keysFor(keySet, token)).toHaveLength(1);
    clock.nowMs += 80_000_000;
    expect(await keysFor(keySet, token)).toHaveLength(1);
    clock.nowMs += 10_000_000;
    await expect(keysFor(keySet, token)).rejects.toBeInstanceOf(KeySetAwayError);
  });

  test('cannot tell about an unknown key while the issuer is away, and says when to ask again', async () => {
    const { issuer, clock, keySet } = await setUp();
    await keysFor(keySet, await issuer.sign(claims));
    await issuer.rotate('key-2');
    await issuer.stop();
    clock.nowMs += 2_000;
    const error = await keysFor(keySet, await issuer.sign(claims)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(KeySetAwayError);
    expect((error as KeySetAwayError).retryAfterMs).toBe(5_000);
  });

  test('leaves an issuer that failed alone for retryMs, and tells of the outage once', async () => {
    const { issuer, clock, lines, keySet } = await setUp();
    issuer.answer(500);
    const token = await issuer.sign(claims);
    for (let i = 0; i < 5; i += 1) {
      await expect(keysFor(keySet, token)).rejects.toBeInstanceOf(KeySetAwayError);
    }
    expect(issuer.requests).toBe(1);
    clock.nowMs += 5_000;
    await keysFor(keySet, token).catch(() => {});
    expect(issuer.requests).toBe(2);
    expect(lines.filter((line) => line.includes('cannot be fetched'))).toHaveLength(1);
    issuer.answer('set');
    clock.nowMs += 5_000;
    expect(await keysFor(keySet, token)).toHaveLength(1);
    expect(lines.filter((line) => line.includes('is back'))).toHaveLength(1);
  });

  for (const how of ['garbage', 'stall', 'stall-in-body', 'endless'] as const) {
    test(`gives up on an issuer that answers with: ${how}`, async () => {
      const { issuer, keySet } = await setUp();
      issuer.answer(how);
      const error = await keysFor(keySet, await issuer.sign(claims)).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(KeySetAwayError);
    });

    test(`keeps its keys when a later answer is: ${how}`, async () => {
      const { issuer, clock, keySet } = await setUp();
      const token = await issuer.sign(claims);
      await keysFor(keySet, token);
      issuer.answer(how);
      clock.nowMs += 600_000;
      expect(await keysFor(keySet, token)).toHaveLength(1);
    });
  }

  test('reads no more of an answer than maxBytes', async () => {
    const { issuer, lines, keySet } = await setUp({ timeoutMs: 20_000 });
    issuer.answer('endless');
    await expect(keysFor(keySet, await issuer.sign(claims))).rejects.toBeInstanceOf(KeySetAwayError);
    expect(lines.join('')).toContain('at most 1048576 bytes');
  });

  test('gives every key that fits a token without a key id', async () => {
    const { issuer, keySet } = await setUp();
    await issuer.rotate('key-2');
    expect(await keysFor(keySet, await issuer.sign(claims, { kid: null }))).toHaveLength(2);
  });
});
