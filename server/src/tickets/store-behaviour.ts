import { describe, expect, test } from 'bun:test';
import { createHash, randomUUID } from 'node:crypto';
import type { TicketStore } from './store.ts';
import { until } from './testing.ts';

const newHash = (): string => createHash('sha256').update(randomUUID()).digest('hex');

/** What every ticket store must do; `store` is asked inside each test. */
export function describeTicketStore(name: string, store: () => TicketStore): void {
  describe(name, () => {
    test('take() gives a ticket once and its mirror from then on', async () => {
      const hash = newHash();
      await store().put(hash, 'the record', 60_000);
      expect(await store().take(hash, 60_000)).toEqual({ from: 'ticket', record: 'the record' });
      expect(await store().take(hash, 60_000)).toEqual({ from: 'mirror', record: 'the record' });
      expect(await store().take(hash, 60_000)).toEqual({ from: 'mirror', record: 'the record' });
    });

    test('take() gives the ticket to exactly one of many who ask at once', async () => {
      const hash = newHash();
      await store().put(hash, 'the record', 60_000);
      const taken = await Promise.all(Array.from({ length: 50 }, () => store().take(hash, 60_000)));
      expect(taken.filter((one) => one?.from === 'ticket')).toHaveLength(1);
      expect(taken.filter((one) => one?.from === 'mirror')).toHaveLength(49);
    });

    test('take() keeps records apart', async () => {
      const [one, other] = [newHash(), newHash()];
      await store().put(one, 'one', 60_000);
      await store().put(other, 'other', 60_000);
      expect((await store().take(other, 60_000))?.record).toBe('other');
      expect((await store().take(one, 60_000))?.record).toBe('one');
    });

    test('take() gives nothing for a ticket that never was', async () => {
      expect(await store().take(newHash(), 60_000)).toBeNull();
    });

    test('take() gives nothing once the ticket has expired', async () => {
      const [hash, lasting] = [newHash(), newHash()];
      await store().put(hash, 'the record', 1);
      await store().put(lasting, 'the record', 60_000);
      await elapsed(store());
      expect(await store().take(hash, 60_000)).toBeNull();
      expect(await store().take(lasting, 60_000)).not.toBeNull();
    });

    test('take() gives nothing once the mirror has expired', async () => {
      const hash = newHash();
      await store().put(hash, 'the record', 60_000);
      await store().take(hash, 1);
      await elapsed(store());
      expect(await store().take(hash, 60_000)).toBeNull();
    });

    test('take() does not prolong the mirror by looking at it', async () => {
      const hash = newHash();
      await store().put(hash, 'the record', 60_000);
      await store().take(hash, 200);
      // A look that prolonged it would find it for ever, and this test would end at its time-out.
      await until(async () => (await store().take(hash, 200)) === null);
    });

    test('claim() is true for exactly one of many attempts at once', async () => {
      const hash = newHash();
      await store().put(hash, 'the record', 60_000);
      await store().take(hash, 60_000);
      const claims = Array.from({ length: 50 }, (_, attempt) => store().claim(hash, `attempt-${attempt}`, 60_000));
      expect((await Promise.all(claims)).filter((won) => won)).toHaveLength(1);
    });

    test('claim() answers the attempt that won alike when it asks again', async () => {
      const hash = newHash();
      expect(await store().claim(hash, 'first', 60_000)).toBe(true);
      expect(await store().claim(hash, 'second', 60_000)).toBe(false);
      expect(await store().claim(hash, 'first', 60_000)).toBe(true);
    });

    test('claim() removes the mirror, whoever wins', async () => {
      const hash = newHash();
      await store().put(hash, 'the record', 60_000);
      await store().take(hash, 60_000);
      await store().claim(hash, 'first', 60_000);
      expect(await store().take(hash, 60_000)).toBeNull();
    });

    test('claim() removes a ticket that a failover brought back', async () => {
      const hash = newHash();
      await store().put(hash, 'the record', 60_000);
      await store().claim(hash, 'first', 60_000);
      expect(await store().take(hash, 60_000)).toBeNull();
    });

    test('claim() leaves a tombstone that ends', async () => {
      const hash = newHash();
      await store().claim(hash, 'first', 1);
      await elapsed(store());
      expect(await store().claim(hash, 'second', 60_000)).toBe(true);
    });
  });
}

/** Waits until what was put for 1 ms before now is gone, by the store's own clock. */
async function elapsed(store: TicketStore): Promise<void> {
  await until(async () => {
    // Another each time, since a look consumes.
    const probe = newHash();
    await store.put(probe, 'short', 1);
    await new Promise((resolve) => setTimeout(resolve, 2));
    return (await store.take(probe, 1)) === null;
  });
}
