import { expect, test } from 'bun:test';
import { decodeRecord, encodeRecord, type TicketRecord } from './record.ts';
import { principalOf } from './testing.ts';

const record: TicketRecord = { v: 1, principal: principalOf('ada', { expiresAt: 5 }), issuedAt: 1, expiresAt: 2 };

test('a record comes back as it was written', () => {
  const bound = { ...record, binding: 'ab'.repeat(32) };
  expect(decodeRecord(encodeRecord(record))).toEqual({ ok: true, record });
  expect(decodeRecord(encodeRecord(bound))).toEqual({ ok: true, record: bound });
});

test('a record that a newer instance wrote with one field more is read', () => {
  expect(decodeRecord(JSON.stringify({ ...record, region: 'eu' }))).toEqual({ ok: true, record });
});

test('a record of a newer version is a fault at its version', () => {
  expect(decodeRecord(JSON.stringify({ ...record, v: 2 }))).toEqual({ ok: false, faults: ['v'] });
});

test('every fault of a corrupt record is named by its path, and none by its value', () => {
  const corrupt = { ...record, issuedAt: 'secret', principal: { ...record.principal, scopes: ['a', 7], userId: 9 } };
  expect(decodeRecord(JSON.stringify(corrupt))).toEqual({
    ok: false,
    faults: expect.arrayContaining(['issuedAt', 'principal.userId', 'principal.scopes.1']),
  });
  for (const text of ['', '{', 'null', '[]', '"secret"']) {
    const decoded = decodeRecord(text);
    expect(decoded.ok).toBe(false);
    expect(JSON.stringify(decoded)).not.toContain('secret');
  }
});
