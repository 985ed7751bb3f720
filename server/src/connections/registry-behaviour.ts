import { afterEach, describe, expect, test } from 'bun:test';
import { type Code, UsherError } from '@usher/contracts';
import { captureLog, principalOf } from '../tickets/testing.ts';
import type { Lease } from './places.ts';
import type { ConnectionRegistry, ConnectionRegistryOptions } from './registry.ts';

export interface Opened {
  readonly lease: Lease;
  /** What it was closed with. */
  readonly closedWith: Code[];
}

/** Admits one connection; `id` also tells how old it is, in the order of the alphabet. */
export async function open(
  registry: ConnectionRegistry,
  userId: string,
  id: string,
  more: { readonly sessionId?: string; readonly since?: number; readonly issuedAt?: number } = {},
): Promise<Opened> {
  const closedWith: Code[] = [];
  const { sessionId = `session-of-${userId}`, since = Date.now(), issuedAt } = more;
  const principal = principalOf(userId, { sessionId });
  const lease = await registry.admit(
    { connectionId: id, principal, address: '192.0.2.1', since, issuedAt },
    { close: (code) => closedWith.push(code) },
  );
  return { lease, closedWith };
}

/** The refusal of a promise. @throws when it is none */
export async function refusal(promise: Promise<unknown>): Promise<UsherError> {
  const error = await promise.then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(UsherError);
  return error as UsherError;
}

export type MakeRegistry = (options?: Partial<ConnectionRegistryOptions>) => ConnectionRegistry;

/** What a registry must do for the connections of its own instance, with Redis or without. */
export function describeConnectionRegistry(name: string, make: MakeRegistry): void {
  describe(name, () => {
    const made: ConnectionRegistry[] = [];
    const registryOf: MakeRegistry = (options) => {
      const registry = make(options);
      made.push(registry);
      return registry;
    };
    afterEach(async () => {
      await Promise.all(made.splice(0).map((registry) => registry.close()));
    });

    test('admit() takes up to the limit, refuses the next, and takes again when one has gone', async () => {
      const refused: Code[] = [];
      const registry = registryOf({ maxConnectionsPerUser: 2, onRefused: (code) => refused.push(code) });
      const first = await open(registry, 'to the limit', 'a');
      await open(registry, 'to the limit', 'b');
      const error = await refusal(open(registry, 'to the limit', 'c'));
      expect(error.reason).toBe('CONNECTION_LIMIT');
      expect(error.retryAfterMs).toBeWithin(1, 5_001);
      expect(refused).toEqual(['CONNECTION_LIMIT']);
      await open(registry, 'somebody else', 'd');
      await first.lease.release();
      await first.lease.release();
      await open(registry, 'to the limit', 'e');
      expect((await refusal(open(registry, 'to the limit', 'f'))).reason).toBe('CONNECTION_LIMIT');
      expect(registry.size).toBe(3);
    });

    test('admit() admits exactly the limit when 200 race', async () => {
      const registry = registryOf({ maxConnectionsPerUser: 10 });
      const settled = await Promise.allSettled(
        Array.from({ length: 200 }, (_, n) => open(registry, 'a race', `race-${n}`)),
      );
      expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
      expect(registry.size).toBe(10);
    });

    test('admit() closes the oldest when told to evict, and only that', async () => {
      const registry = registryOf({ maxConnectionsPerUser: 2, overflow: 'evict' });
      const first = await open(registry, 'evicted', 'ev-1', { since: 1_000 });
      const second = await open(registry, 'evicted', 'ev-2', { since: 2_000 });
      const third = await open(registry, 'evicted', 'ev-3', { since: 3_000 });
      expect([first.closedWith, second.closedWith, third.closedWith]).toEqual([['CONNECTION_LIMIT'], [], []]);
      await first.lease.release();
      const fourth = await open(registry, 'evicted', 'ev-4', { since: 4_000 });
      expect([second.closedWith, third.closedWith, fourth.closedWith]).toEqual([['CONNECTION_LIMIT'], [], []]);
    });

    test('admit() refuses a connection above what one instance takes', async () => {
      const registry = registryOf({ maxConnections: 1 });
      await open(registry, 'one', 'one');
      expect((await refusal(open(registry, 'two', 'two'))).reason).toBe('CONNECTION_LIMIT');
    });

    test('list() finds by user, by session and all, in the order they came, up to a limit', async () => {
      const registry = registryOf();
      await open(registry, 'ann', 'ann-2', { sessionId: 's2', since: 2 });
      await open(registry, 'ann', 'ann-1', { sessionId: 's1', since: 1 });
      const gone = await open(registry, 'ann', 'ann-0', { sessionId: 's1', since: 0 });
      await open(registry, 'bob', 'bob-1', { sessionId: 's3', since: 3 });
      await gone.lease.release();
      const ids = async (input: { userId?: string; sessionId?: string; limit?: number }) =>
        (await registry.list({ limit: 100, ...input })).connections.map(({ connectionId }) => connectionId);
      expect(await ids({})).toEqual(['ann-1', 'ann-2', 'bob-1']);
      expect(await ids({ userId: 'ann' })).toEqual(['ann-1', 'ann-2']);
      expect(await ids({ sessionId: 's1' })).toEqual(['ann-1']);
      expect(await ids({ userId: 'bob', sessionId: 's1' })).toEqual([]);
      expect(await ids({ limit: 2 })).toHaveLength(2);
      expect((await registry.list({ sessionId: 's3', limit: 1 })).connections).toEqual([
        { connectionId: 'bob-1', instanceId: 'one', userId: 'bob', sessionId: 's3', since: 3, address: '192.0.2.1' },
      ]);
    });

    test('disconnect() closes one connection, once, and the user may come back', async () => {
      const registry = registryOf();
      const { closedWith } = await open(registry, 'cut', 'cut-1');
      const other = await open(registry, 'cut', 'cut-2');
      expect(await registry.disconnect({ connectionId: 'cut-1' })).toEqual({ disconnected: 1 });
      expect(await registry.disconnect({ connectionId: 'cut-1' })).toEqual({ disconnected: 0 });
      expect(await registry.disconnect({ connectionId: 'nobody' })).toEqual({ disconnected: 0 });
      expect(closedWith).toEqual(['DRAINING']);
      expect(other.closedWith).toEqual([]);
      await open(registry, 'cut', 'cut-3');
    });

    test('revoke() of a session closes its connections and refuses all that carries it, new or old', async () => {
      const registry = registryOf();
      const revoked = await open(registry, 'carol', 'carol-1', { sessionId: 'revoked' });
      const kept = await open(registry, 'carol', 'carol-2', { sessionId: 'kept' });
      expect(await registry.revoke({ sessionId: 'revoked' })).toEqual({ disconnected: 1 });
      expect(revoked.closedWith).toEqual(['SESSION_REVOKED']);
      expect(kept.closedWith).toEqual([]);
      const later = Date.now() + 60_000;
      expect(registry.revocations.isRevoked(principalOf('carol', { sessionId: 'revoked' }), later)).toBe(true);
      expect(registry.revocations.isRevoked(principalOf('carol', { sessionId: 'kept' }), 0)).toBe(false);
      const error = await refusal(open(registry, 'carol', 'carol-3', { sessionId: 'revoked', issuedAt: later }));
      expect(error.reason).toBe('SESSION_REVOKED');
    });

    test('revoke() of a user ends what was issued before it, and nothing issued after', async () => {
      const registry = registryOf();
      const before = Date.now() - 1;
      const one = await open(registry, 'dave', 'dave-1', { sessionId: 'd1', issuedAt: before });
      const two = await open(registry, 'dave', 'dave-2', { sessionId: 'd2', issuedAt: before });
      const bystander = await open(registry, 'erin', 'erin-1', { issuedAt: before });
      expect(await registry.revoke({ userId: 'dave' })).toEqual({ disconnected: 2 });
      expect([one.closedWith, two.closedWith, bystander.closedWith]).toEqual([
        ['SESSION_REVOKED'],
        ['SESSION_REVOKED'],
        [],
      ]);
      const dave = principalOf('dave');
      expect(registry.revocations.isRevoked(dave, before)).toBe(true);
      expect(registry.revocations.isRevoked(dave, Date.now() + 60_000)).toBe(false);
      expect((await refusal(open(registry, 'dave', 'dave-3', { issuedAt: before }))).reason).toBe('SESSION_REVOKED');
      await Promise.all([one.lease.release(), two.lease.release()]);
      const again = await open(registry, 'dave', 'dave-4', { issuedAt: Date.now() + 60_000 });
      expect(again.closedWith).toEqual([]);
    });

    test('revoke() of a session of a user leaves the same session name of another alone', async () => {
      const registry = registryOf();
      const one = await open(registry, 'frank', 'frank-1', { sessionId: 'same' });
      const other = await open(registry, 'grace', 'grace-1', { sessionId: 'same' });
      expect(await registry.revoke({ userId: 'frank', sessionId: 'same' })).toEqual({ disconnected: 1 });
      expect([one.closedWith, other.closedWith]).toEqual([['SESSION_REVOKED'], []]);
      expect(registry.revocations.isRevoked(principalOf('frank', { sessionId: 'same' }), Date.now())).toBe(true);
      expect(registry.revocations.isRevoked(principalOf('grace', { sessionId: 'same' }), Date.now())).toBe(false);
      expect(registry.revocations.isRevoked(principalOf('frank', { sessionId: 'another' }), 0)).toBe(false);
    });

    test('a revocation is forgotten when its time is over', async () => {
      let ahead = 0;
      const registry = registryOf({ revocationTtlMs: 60_000, now: () => Date.now() + ahead });
      await registry.revoke({ sessionId: 'for a while' });
      const principal = principalOf('heidi', { sessionId: 'for a while' });
      expect(registry.revocations.isRevoked(principal, 0)).toBe(true);
      ahead = 60_001;
      expect(registry.revocations.isRevoked(principal, 0)).toBe(false);
    });

    test('what an operator does is in the log, with who did it and what came of it', async () => {
      const { log, lines } = captureLog();
      const registry = registryOf({ log });
      await open(registry, 'ivan', 'ivan-1', { sessionId: 'i' });
      await registry.disconnect({ connectionId: 'ivan-1' }, { userId: 'admin', sessionId: 'a1' });
      await registry.revoke({ sessionId: 'i' }, principalOf('admin'));
      const audit = lines.map((line) => JSON.parse(line)).filter((line) => line.audit);
      expect(audit).toMatchObject([
        {
          action: 'connection.disconnect',
          connectionId: 'ivan-1',
          disconnected: 1,
          actor: { userId: 'admin', sessionId: 'a1' },
        },
        { action: 'session.revoke', sessionId: 'i', disconnected: 0, actor: { userId: 'admin' } },
      ]);
      expect(audit[1].actor).not.toHaveProperty('scopes');
    });

    test('admit() refuses when the registry has closed', async () => {
      const registry = registryOf();
      await registry.close();
      expect((await refusal(open(registry, 'late', 'late'))).reason).toBe('DRAINING');
    });
  });
}
