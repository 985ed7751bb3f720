import { describe, expect, test } from 'bun:test';
import { until } from '../tickets/testing.ts';
import type { PresenceLimits, PresenceStore } from './store.ts';
import { type Change, parseChange } from './view.ts';

export interface StoreHarness {
  readonly store: PresenceStore;
  /** Another instance's view of the same; the same store where there is only one. */
  readonly other: PresenceStore;
  /** Comes back when so much time has passed for the store. */
  elapse(ms: number): Promise<void>;
}

/** What a presence store must do, wherever it keeps who is there. */
export function describePresenceStore(name: string, make: (limits: PresenceLimits) => StoreHarness): void {
  // Long enough that a busy machine prolongs in time, where time is real.
  const leaseMs = 1_200;

  const heardOf = async (store: PresenceStore, topic: string) => {
    const changes: Change[] = [];
    await store.listen(topic, (text) => changes.push(parseChange(text) ?? { joined: [], left: [] }));
    const names = (members: Change['joined']) => members.map(({ userId }) => userId);
    return { changes, told: () => changes.map(({ joined, left }) => ({ joined: names(joined), left: names(left) })) };
  };

  const connection = (connectionId: string, userId: string, more: { since?: number; info?: string } = {}) => ({
    connectionId,
    userId,
    since: 1,
    ...more,
  });

  describe(name, () => {
    test('hold() and leave() count several connections of a user once, and tell of the first and the last', async () => {
      const { store, other } = make({ leaseMs: 60_000 });
      const { told } = await heardOf(other, 'job:once');
      await store.hold('job:once', [connection('a1', 'ann', { since: 5 })]);
      await other.hold('job:once', [connection('a2', 'ann', { since: 7 })]);
      await store.hold('job:once', [connection('a1', 'ann', { since: 5 })]);
      await store.hold('job:once', [connection('b1', 'bob', { since: 6 })]);
      expect(await store.list('job:once')).toEqual([
        { userId: 'ann', connections: 2, since: 5 },
        { userId: 'bob', connections: 1, since: 6 },
      ]);
      await store.leave('job:once', ['a1']);
      await store.leave('job:once', ['a1', 'nobody']);
      expect(await other.list('job:once')).toEqual([
        { userId: 'ann', connections: 1, since: 5 },
        { userId: 'bob', connections: 1, since: 6 },
      ]);
      await other.leave('job:once', ['a2']);
      await until(() => told().length === 3);
      expect(told()).toEqual([
        { joined: ['ann'], left: [] },
        { joined: ['bob'], left: [] },
        { joined: [], left: ['ann'] },
      ]);
    });

    test('a change tells who it is about, and one that left has no connections', async () => {
      const { store } = make({ leaseMs: 60_000 });
      const { changes } = await heardOf(store, 'job:whom');
      await store.hold('job:whom', [
        connection('a1', 'ann', { since: 5, info: '{"name":"Ann\\n","n":[1,{"x":null}]}' }),
      ]);
      await store.leave('job:whom', ['a1']);
      await until(() => changes.length === 2);
      const ann = { userId: 'ann', since: 5, info: { name: 'Ann\n', n: [1, { x: null }] } };
      expect(changes).toEqual([
        { joined: [{ ...ann, connections: 1 }], left: [] },
        { joined: [], left: [{ ...ann, connections: 0 }] },
      ]);
    });

    test('of a user with several connections the info of the last that brought one is shown', async () => {
      const { store } = make({ leaseMs: 60_000 });
      await store.hold('job:info', [connection('a1', 'ann', { info: '"first"' })]);
      await store.hold('job:info', [connection('a2', 'ann', { info: '"second"' })]);
      await store.hold('job:info', [connection('a3', 'ann')]);
      expect(await store.list('job:info')).toEqual([{ userId: 'ann', connections: 3, since: 1, info: 'second' }]);
    });

    test('users of any name are told apart', async () => {
      const { store } = make({ leaseMs: 60_000 });
      const names = ['u', 'c', 'c:1', '1 2 ', '"}', '\\', '{}', 'ü\u0000 …', '12', "'; DROP"];
      await store.hold(
        'job:names',
        names.map((userId, n) => connection(`c${n}`, userId, { since: n })),
      );
      expect((await store.list('job:names')).map(({ userId }) => userId)).toEqual(names);
    });

    test('a connection that nobody prolongs leaves when its lease is over, and that is told once', async () => {
      const { store, other, elapse } = make({ leaseMs });
      const { told } = await heardOf(store, 'job:over');
      await store.hold('job:over', [connection('a1', 'ann'), connection('b1', 'bob')]);
      await elapse(leaseMs / 2);
      await other.hold('job:over', [connection('b1', 'bob')]);
      await elapse(leaseMs / 2);
      expect((await other.list('job:over')).map(({ userId }) => userId)).toEqual(['bob']);
      await Promise.all([store.hold('job:over', []), other.hold('job:over', []), store.list('job:over')]);
      await store.leave('job:over', ['b1']);
      await until(() => told().length >= 3);
      expect(told()).toEqual([
        { joined: ['ann', 'bob'], left: [] },
        { joined: [], left: ['ann'] },
        { joined: [], left: ['bob'] },
      ]);
    });

    test('a user whose lease is over, and who is there again in the same step, has neither left nor joined', async () => {
      const { store, elapse } = make({ leaseMs });
      const { told } = await heardOf(store, 'job:same-step');
      await store.hold('job:same-step', [connection('a1', 'ann', { since: 1 })]);
      await elapse(leaseMs);
      await store.hold('job:same-step', [connection('a2', 'ann', { since: 2 })]);
      expect(await store.list('job:same-step')).toMatchObject([{ userId: 'ann', connections: 1 }]);
      await store.leave('job:same-step', ['a2']);
      await until(() => told().length >= 2);
      expect(told()).toEqual([
        { joined: ['ann'], left: [] },
        { joined: [], left: ['ann'] },
      ]);
    });

    test('hold() tells when the next lease of the topic ends', async () => {
      const { store, elapse } = make({ leaseMs });
      expect(await store.hold('job:next', [])).toBeNull();
      expect(await store.hold('job:next', [connection('a1', 'ann')])).toBeWithin(1, leaseMs + 1);
      await elapse(leaseMs / 2);
      const nextEndMs = await store.hold('job:next', [connection('b1', 'bob')]);
      expect(nextEndMs).toBeLessThanOrEqual(leaseMs / 2);
    });

    test('a topic takes so many connections, and another when one has gone', async () => {
      const { store } = make({ leaseMs: 60_000, maxConnections: 2 });
      const all = ['a', 'b', 'c'].map((id) => connection(id, `user-${id}`));
      await store.hold('job:many', all);
      expect((await store.list('job:many')).map(({ userId }) => userId)).toEqual(['user-a', 'user-b']);
      await store.leave('job:many', ['a']);
      await store.hold('job:many', all.slice(1));
      expect((await store.list('job:many')).map(({ userId }) => userId)).toEqual(['user-b', 'user-c']);
    });

    test('topics are apart, and who no longer listens hears nothing', async () => {
      const { store } = make({ leaseMs: 60_000 });
      const here: string[] = [];
      const listener = (text: string) => here.push(text);
      await store.listen('job:here', listener);
      await store.hold('job:there', [connection('a1', 'ann')]);
      expect(await store.list('job:here')).toEqual([]);
      await store.hold('job:here', [connection('a1', 'ann')]);
      await until(() => here.length === 1);
      store.unlisten('job:here', listener);
      const { told } = await heardOf(store, 'job:here');
      await store.leave('job:here', ['a1']);
      await until(() => told().length === 1);
      expect(here).toHaveLength(1);
    });

    test('1,200 connections that come and go are all told, and nobody is left', async () => {
      const { store, other } = make({ leaseMs: 60_000, maxConnections: 2_000 });
      const { changes } = await heardOf(store, 'job:crowd');
      const crowd = Array.from({ length: 1_200 }, (_, n) => connection(`c${n}`, `u${n % 700}`, { since: n }));
      await Promise.all([store.hold('job:crowd', crowd.slice(0, 600)), other.hold('job:crowd', crowd.slice(600))]);
      const members = await store.list('job:crowd');
      expect(members).toHaveLength(700);
      expect(members.reduce((sum, { connections }) => sum + connections, 0)).toBe(1_200);
      await Promise.all([
        store.leave(
          'job:crowd',
          crowd.slice(600).map(({ connectionId }) => connectionId),
        ),
        other.leave(
          'job:crowd',
          crowd.slice(0, 600).map(({ connectionId }) => connectionId),
        ),
      ]);
      expect(await store.list('job:crowd')).toEqual([]);
      const count = (side: 'joined' | 'left') => changes.reduce((sum, change) => sum + change[side].length, 0);
      await until(() => count('left') === 700);
      expect(count('joined')).toBe(700);
    });
  });
}
