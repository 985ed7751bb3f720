/** Longest token that is looked at, in bytes: a larger one costs a hash or a signature before it is refused. */
export const maxTokenBytes = 8_192;

export type Credential =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'missing' }
  /** `message` says what was wanted and never quotes the header: without a scheme, the first word is the token. */
  | { readonly kind: 'malformed'; readonly message: string };

const malformed = (message: string): Credential => ({ kind: 'malformed', message });

/** Reads `Authorization: Bearer <token>` [RFC 6750, section 2.1]; the scheme in any case [RFC 9110, section 11.1]. */
export function readBearer(headers: Headers): Credential {
  const header = headers.get('authorization')?.trim();
  if (header === undefined || header === '') return { kind: 'missing' };
  if (/^bearer$/i.test(header)) return malformed('The Authorization header has a scheme, but no token');
  if (!/^bearer\s/i.test(header)) return malformed('The Authorization header must use the scheme "Bearer"');
  return checkToken(header.slice('bearer'.length).trim());
}

/** Takes a token from wherever it was found, if it could be one. */
export function checkToken(token: string): Credential {
  if (token.length > maxTokenBytes) return malformed(`The token is longer than ${maxTokenBytes} bytes`);
  // A comma joins two Authorization headers; which of them counts must not be guessed.
  if (!/^[\x21-\x2b\x2d-\x7e]+$/.test(token)) return malformed('The Authorization header must hold one token');
  return { kind: 'token', token };
}
