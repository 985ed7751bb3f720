import { expect, test } from 'bun:test';
import { captureLog, principalOf } from '../tickets/testing.ts';
import { createConnectionRegistry } from './registry.ts';
import { describeConnectionRegistry } from './registry-behaviour.ts';
import { createRevocations } from './revocations.ts';

describeConnectionRegistry('the connection registry in one process', (options) =>
  createConnectionRegistry({ instanceId: 'one', redis: null, log: captureLog().log, ...options }),
);

test('revocations are bounded: the oldest is forgotten, and the log says so once', async () => {
  const { log, lines } = captureLog();
  const revocations = createRevocations({ redis: null, log, onFound: () => {}, maxRevocations: 2 });
  for (const sessionId of ['a', 'b', 'c', 'd']) await revocations.revoke({ sessionId });
  expect(revocations.size).toBe(2);
  const revoked = ['a', 'b', 'c', 'd'].filter((sessionId) => revocations.isRevoked(principalOf('u', { sessionId }), 0));
  expect(revoked).toEqual(['c', 'd']);
  expect(lines.filter((line) => line.includes('too many'))).toHaveLength(1);
});
