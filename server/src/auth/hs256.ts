import { createHmac, timingSafeEqual } from 'node:crypto';
import { type JWTClaimVerificationOptions, type JWTPayload, type ProtectedHeaderParameters, UnsecuredJWT } from 'jose';

const plainNames: readonly string[] = ['alg', 'typ', 'kid'];

/** A token that asks for nothing but an HMAC: whatever else a header may say, `crit` above all, is jose's to judge. */
export const isPlainHs256 = (header: ProtectedHeaderParameters): boolean =>
  header.alg === 'HS256' && Object.keys(header).every((name) => plainNames.includes(name));

/** How jose takes claims that somebody else vouches for. */
const vouchedFor = Buffer.from('{"alg":"none"}').toString('base64url');

/**
 * The claims of an HS256 token; `null` where none of the secrets signed it. The claims are jose's to check, as ever.
 *
 * The HMAC is made here and now: WebCrypto makes it on another thread, and the way there and back costs ten times the
 * HMAC, a quarter of all that issuing a ticket costs [load/bench/ticket.ts].
 *
 * @throws JOSEError when the claims do not fit
 */
export function verifyHs256(
  token: string,
  secrets: readonly Buffer[],
  options: JWTClaimVerificationOptions,
): JWTPayload | null {
  const end = token.lastIndexOf('.');
  const signed = token.slice(0, end);
  // Texts, not decoded bytes, are compared: each signature has one form only.
  const given = Buffer.from(token.slice(end + 1));
  const isSignedBy = (secret: Buffer): boolean => {
    const expected = Buffer.from(createHmac('sha256', secret).update(signed).digest('base64url'));
    return expected.length === given.length && timingSafeEqual(expected, given);
  };
  if (!secrets.some(isSignedBy)) return null;
  return UnsecuredJWT.decode(`${vouchedFor}.${signed.slice(signed.indexOf('.') + 1)}.`, options).payload;
}
