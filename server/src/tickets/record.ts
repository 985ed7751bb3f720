import { ArrayFormatter, Schema } from '@effect/schema';
import { Either } from 'effect';

// The one file of the tickets that knows @effect/schema. A field that is added must be optional, or `v` must go up: during
// a rolling update older instances read what newer ones wrote, and the other way round.
const ticketRecord = Schema.Struct({
  v: Schema.Literal(1),
  principal: Schema.Struct({
    userId: Schema.String,
    sessionId: Schema.String,
    scopes: Schema.Array(Schema.String),
    topics: Schema.Array(Schema.String),
    expiresAt: Schema.NullOr(Schema.Number),
  }),
  issuedAt: Schema.Number,
  expiresAt: Schema.Number,
  binding: Schema.optional(Schema.String),
});

const stored = Schema.parseJson(ticketRecord);
const decode = Schema.decodeUnknownEither(stored, { errors: 'all' });

/** What the store keeps of a ticket. Times are in ms since 1970; `binding` is the SHA-256, in hex, of a nonce. */
export type TicketRecord = typeof ticketRecord.Type;

export type DecodedRecord =
  | { readonly ok: true; readonly record: TicketRecord }
  /** `faults` are paths only: values of a record do not belong in a log. */
  | { readonly ok: false; readonly faults: readonly string[] };

export const encodeRecord: (record: TicketRecord) => string = Schema.encodeSync(stored);

/** Reads a stored record; one that is corrupt, or of a version this instance does not know, is a fault and no throw. */
export function decodeRecord(text: string): DecodedRecord {
  const result = decode(text);
  if (Either.isRight(result)) return { ok: true, record: result.right };
  const faults = ArrayFormatter.formatErrorSync(result.left).map((issue) => issue.path.join('.') || 'record');
  return { ok: false, faults: [...new Set(faults)] };
}
