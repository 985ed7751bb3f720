import { formatErrorSync } from '@effect/schema/ArrayFormatter';
import * as Schema from '@effect/schema/Schema';
import * as Either from 'effect/Either';
import { type Field, field } from './fields.ts';

/** One key a program may present instead of a JWT. */
export interface ApiKey {
  /** Names the key in logs, and is its session. */
  readonly id: string;
  /** SHA-256 of the key, in lower-case hex: the key itself is nowhere on the server. */
  readonly sha256: string;
  readonly userId: string;
  readonly scopes: readonly string[];
  /** Granted patterns: `job:42`, `job:*`, `*`. */
  readonly topics: readonly string[];
}

const name = Schema.String.pipe(Schema.length({ min: 1, max: 256 }));
const list = (pattern: RegExp) =>
  Schema.optionalWith(Schema.Array(Schema.String.pipe(Schema.pattern(pattern))), { default: () => [] });

const apiKey = Schema.Struct({
  id: name,
  sha256: Schema.compose(Schema.Lowercase, Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/))),
  userId: name,
  scopes: list(/^[\x21-\x7e]{1,64}$/),
  topics: list(/^(\*|[a-z][\w-]*:[^\s{}]+)$/),
});

const wanted: Readonly<Record<string, string>> = {
  id: 'text of 1 to 256 characters',
  sha256: 'a SHA-256 as 64 hex digits',
  userId: 'text of 1 to 256 characters',
  scopes: 'an array of scopes such as "publish"',
  topics: 'an array of patterns such as "job:42", "job:*" or "*"',
};

const whole = 'a JSON array of keys: [{"id", "sha256", "userId", "scopes": […], "topics": […]}], at least one';

const decodeKeys = Schema.decodeUnknownEither(Schema.NonEmptyArray(apiKey), { errors: 'all' });

/** What is wrong is told by its place, never by its text: somebody may have put the key itself there. */
export const apiKeys: Field<readonly ApiKey[]> = field<readonly ApiKey[]>((text) => {
  const parsed = parseJson(text);
  if (parsed === undefined) return Either.left(whole);
  const decoded = decodeKeys(parsed);
  if (Either.isLeft(decoded)) {
    const places = new Set(formatErrorSync(decoded.left).map(({ path }) => describePlace(path)));
    return Either.left([...places].join('; '));
  }
  const keys = decoded.right;
  if (!distinct(keys.map((key) => key.id))) return Either.left('another id for each key: the id is the session');
  if (!distinct(keys.map((key) => key.sha256))) return Either.left('keys that differ');
  return Either.right(keys);
});

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function describePlace(path: readonly PropertyKey[]): string {
  const [index, property] = path;
  if (property === undefined)
    return path.length === 0 ? whole : `an object with id, sha256 and userId at [${String(index)}]`;
  return `${wanted[String(property)]} at [${String(index)}].${String(property)}`;
}

const distinct = (texts: readonly string[]): boolean => new Set(texts).size === texts.length;
