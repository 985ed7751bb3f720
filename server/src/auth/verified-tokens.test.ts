import { expect, test } from 'bun:test';
import { createVerifiedTokens } from './verified-tokens.ts';

test('get() gives the claims of a token until its check is too old', () => {
  let at = 1_000;
  const tokens = createVerifiedTokens({ ttlMs: 500, now: () => at });
  tokens.add('one', { sub: 'alice' });
  at = 1_499;
  expect(tokens.get('one')).toEqual({ sub: 'alice' });
  expect(tokens.get('another')).toBeUndefined();
  at = 1_500;
  expect(tokens.get('one')).toBeUndefined();
});

test('add() forgets the oldest when there are as many as there may be', () => {
  const tokens = createVerifiedTokens({ maxTokens: 2, now: () => 0 });
  tokens.add('one', { sub: '1' });
  tokens.add('two', { sub: '2' });
  tokens.add('one', { sub: '1' });
  tokens.add('three', { sub: '3' });
  expect(tokens.get('two')).toBeUndefined();
  expect(tokens.get('one')?.sub).toBe('1');
  expect(tokens.get('three')?.sub).toBe('3');
});
