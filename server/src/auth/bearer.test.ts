import { describe, expect, test } from 'bun:test';
import { maxTokenBytes, readBearer } from './bearer.ts';

const read = (authorization?: string) => readBearer(new Headers(authorization === undefined ? {} : { authorization }));

describe('readBearer()', () => {
  for (const header of [
    'Bearer abc.def~+/-_=',
    'bearer abc.def~+/-_=',
    'BEARER   abc.def~+/-_=',
    'Bearer\tabc.def~+/-_=',
  ]) {
    test(`reads ${JSON.stringify(header)}`, () => {
      expect(read(header)).toEqual({ kind: 'token', token: 'abc.def~+/-_=' });
    });
  }

  test('tells a missing header from a malformed one', () => {
    expect(read()).toEqual({ kind: 'missing' });
    expect(read('')).toEqual({ kind: 'missing' });
    expect(read('Bearer').kind).toBe('malformed');
  });

  for (const header of [
    'Bearer',
    'Basic qqq',
    'qqq',
    'Bearerqqq',
    'Bearer qqq b',
    'Bearer qqq, Bearer b',
    'Bearer qqqö',
  ]) {
    test(`refuses ${JSON.stringify(header)} without quoting it`, () => {
      const credential = read(header);
      expect(credential.kind).toBe('malformed');
      expect(JSON.stringify(credential)).not.toContain('qqq');
    });
  }

  test('reads a token of the largest size, and none larger', () => {
    expect(read(`Bearer ${'x'.repeat(maxTokenBytes)}`).kind).toBe('token');
    expect(read(`Bearer ${'x'.repeat(maxTokenBytes + 1)}`).kind).toBe('malformed');
  });
});
