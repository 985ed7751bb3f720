import { expect, test } from 'bun:test';
import { errors, jwtVerify, SignJWT } from 'jose';
import { isPlainHs256, verifyHs256 } from './hs256.ts';

const secret = Buffer.from('a-secret-of-at-least-thirty-two-bytes');
const other = Buffer.from('another-secret-of-at-least-32-bytes!!');
const sign = (claims: Record<string, unknown>, key = secret) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(key);

test('verifyHs256() gives the claims jose gives', async () => {
  const token = await sign({ sub: 'ada', exp: 2_000_000_000, topics: ['job:*'] });
  const options = { currentDate: new Date(1_900_000_000_000) };
  expect(verifyHs256(token, [other, secret], options)).toEqual((await jwtVerify(token, secret, options)).payload);
});

test('verifyHs256() takes no signature but the one', async () => {
  const token = await sign({ sub: 'ada' });
  const [header, payload, signature = ''] = token.split('.');
  const last = signature.at(-1) === 'A' ? 'B' : 'A';
  const forgeries = ['', `${signature}=`, ` ${signature}`, signature.slice(0, -1), `${signature.slice(0, -1)}${last}`];
  for (const forgery of forgeries) expect(verifyHs256(`${header}.${payload}.${forgery}`, [secret], {})).toBeNull();
  expect(verifyHs256(token, [other], {})).toBeNull();
  expect(verifyHs256(token, [], {})).toBeNull();
  expect(verifyHs256(token, [secret], {})).toEqual({ sub: 'ada' });
});

test('verifyHs256() notices claims that were changed, and those that do not fit', async () => {
  const [header, , signature] = (await sign({ sub: 'ada' })).split('.');
  const payload = Buffer.from('{"sub":"eve"}').toString('base64url');
  expect(verifyHs256(`${header}.${payload}.${signature}`, [secret], {})).toBeNull();
  const expired = await sign({ sub: 'ada', exp: 1 });
  expect(() => verifyHs256(expired, [secret], {})).toThrow(errors.JWTExpired);
  const elsewhere = await sign({ sub: 'ada', iss: 'https://elsewhere' });
  expect(() => verifyHs256(elsewhere, [secret], { issuer: 'https://here' })).toThrow(errors.JWTClaimValidationFailed);
});

test('isPlainHs256() leaves every other header to jose', () => {
  expect(isPlainHs256({ alg: 'HS256', typ: 'JWT', kid: '1' })).toBe(true);
  expect(isPlainHs256({ alg: 'HS256', crit: ['b64'], b64: false } as never)).toBe(false);
  for (const alg of ['none', 'HS512', 'RS256', 'hs256', undefined]) expect(isPlainHs256({ alg } as never)).toBe(false);
});
