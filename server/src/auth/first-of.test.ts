import { describe, expect, test } from 'bun:test';
import type { Code } from '@usher/contracts';
import { authRequest } from './auth-request.fixture.ts';
import type { Authenticator } from './authenticator.ts';
import { disabled } from './disabled.ts';
import { firstOf } from './first-of.ts';
import { refuse } from './verdict.ts';

const says =
  (code: Code, message?: string): Authenticator =>
  () =>
    refuse(code, message === undefined ? {} : { message });
const never: Authenticator = () => {
  throw new Error('Wanted not to be asked');
};
const ask = (...authenticators: Authenticator[]) => firstOf(...authenticators)(authRequest());

describe('firstOf()', () => {
  test('asks the next after UNAUTHORIZED, and none after an admission', async () => {
    expect(await ask(says('UNAUTHORIZED'), disabled, never)).toMatchObject({ ok: true, principal: { userId: 'dev' } });
  });

  for (const code of ['AUTH_UNAVAILABLE', 'MISSING_SESSION', 'ORIGIN_NOT_ALLOWED', 'INTERNAL'] as const) {
    test(`lets ${code} decide`, async () => {
      expect(await ask(says('UNAUTHORIZED'), says(code), never)).toMatchObject({ ok: false, code });
    });
  }

  test('gives the reason of the one that knew the kind of token', async () => {
    const refusal = await ask(
      says('UNAUTHORIZED'),
      says('UNAUTHORIZED', 'expired'),
      says('UNAUTHORIZED', 'no such key'),
    );
    expect(refusal).toMatchObject({ code: 'UNAUTHORIZED', message: 'expired' });
  });

  test('refuses everybody when there is nobody to ask', async () => {
    expect(await ask()).toMatchObject({ ok: false, code: 'UNAUTHORIZED' });
  });
});
