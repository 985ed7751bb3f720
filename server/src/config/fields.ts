import * as ParseResult from '@effect/schema/ParseResult';
import * as Schema from '@effect/schema/Schema';
import * as Either from 'effect/Either';
import { Secret } from './secret.ts';

/** A schema that reads the text of one environment variable. */
export type Field<A> = Schema.Schema<A, string>;

/** What was wanted, as the end of a sentence; never a part of the text, which may be a secret. */
type Wanted = string;

/**
 * Makes a field of a function; the text it gets is trimmed and not empty. The schema library's own messages quote what
 * they found, so every field says itself what was wanted.
 */
export function field<A>(decode: (text: string) => Either.Either<A, Wanted>): Field<A> {
  return Schema.transformOrFail(Schema.String, Schema.Any as Schema.Schema<A>, {
    strict: true,
    decode: (text, _options, ast) =>
      Either.mapLeft(decode(text.trim()), (wanted) => new ParseResult.Type(ast, undefined, `Wanted ${wanted}`)),
    encode: (value, _options, ast) =>
      ParseResult.fail(new ParseResult.Forbidden(ast, value, 'Configuration is only read')),
  });
}

const listOf = <A>(decode: (item: string) => Either.Either<A, Wanted>): Field<readonly A[]> =>
  field<readonly A[]>((text) => Either.all(text.split(',').map((item) => decode(item.trim()))));

const matching = (pattern: RegExp, wanted: Wanted): Field<string> =>
  field((text) => (pattern.test(text) ? Either.right(text) : Either.left(wanted)));

export const oneOf = <const T extends readonly string[]>(...values: T): Field<T[number]> =>
  field((text) =>
    values.includes(text.toLowerCase()) ? Either.right(text.toLowerCase()) : Either.left(`one of ${values.join(', ')}`),
  );

export const boolean: Field<boolean> = field((text) => {
  if (/^(true|1)$/i.test(text)) return Either.right(true);
  if (/^(false|0)$/i.test(text)) return Either.right(false);
  return Either.left('true or false');
});

export const integer = (min: number, max: number): Field<number> =>
  field((text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? Either.right(value) : Either.left(`a whole number from ${min} to ${max}`);
  });

export const text: Field<string> = field(Either.right);

export const host = matching(/^[\w.:-]+$/, 'a host name or an address, without scheme and port');

export const cookieName = matching(/^[\w!#$%&'*+.^`|~-]+$/, "a cookie's name");

/** A brace would move the hash tag, and with it every key, to another slot. */
export const keyPrefix = matching(/^[^\s{}]{1,64}$/, 'at most 64 characters without spaces and braces');

/** A token that fits into `Authorization: Bearer …`. */
export const bearerSecret: Field<Secret> = field((value) =>
  /^[\x21-\x2b\x2d-\x7e]+$/.test(value)
    ? Either.right(new Secret(value))
    : Either.left('visible ASCII characters without spaces and commas'),
);

const minSecretBytes = 32;

/** HS256 wants a key at least as long as its hash [RFC 7518, section 3.2]. */
export const secretList: Field<readonly Secret[]> = listOf((part) =>
  new TextEncoder().encode(part).length >= minSecretBytes
    ? Either.right(new Secret(part))
    : Either.left(`secrets of at least ${minSecretBytes} bytes each, separated by commas`),
);

export const httpUrl: Field<URL> = field((value) => {
  const url = URL.canParse(value) ? new URL(value) : null;
  // `fetch` refuses a url with a user in it, and only when the first token is to be verified.
  const fits = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  return fits ? Either.right(url) : Either.left('an http or https url without user and password');
});

export const redisUrls: Field<readonly string[]> = field<readonly string[]>((value) => {
  const urls = value.split(',').map((part) => part.trim());
  const parsed = urls.map((url) => (URL.canParse(url) ? new URL(url) : null));
  const schemes = new Set(parsed.map((url) => url?.protocol));
  const fits = parsed.every((url) => url !== null && /^rediss?:$/.test(url.protocol) && url.hostname !== '');
  if (!fits)
    return Either.left('redis:// or rediss:// urls, separated by commas; a comma in a password is written %2C');
  if (schemes.size > 1) return Either.left('redis:// or rediss:// urls, not both');
  // A Cluster has no databases but 0: a number here would be ignored, and other data used than was meant.
  const databases = parsed.some((url) => !/^\/?0?$/.test(url?.pathname ?? ''));
  if (urls.length > 1 && databases) return Either.left('Cluster urls without a database number');
  return Either.right(urls);
});

/** An origin exactly as a browser sends it; apps in a shell send their own scheme, such as `capacitor://localhost`. */
export const origins: Field<readonly string[]> = listOf((origin) => {
  const custom = /^(?!https?:)[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*]+$/.test(origin);
  const web = /^https?:/.test(origin) && URL.canParse(origin) && new URL(origin).origin === origin;
  return custom || web
    ? Either.right(origin)
    : Either.left('origins such as https://app.example:8443, in lower case, without path, default port and wildcards');
});
