import { TRPCError } from '@trpc/server';
import { type Code, codes } from './codes.ts';

/** One fault found in an input: where it is and what was wanted. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

export interface UsherErrorOptions {
  /** Replaces the table's message; never holds a ticket, a token or a key. */
  readonly message?: string;
  /** How long the caller should wait, in ms. */
  readonly retryAfterMs?: number;
  /** The faults of a `BAD_REQUEST`. */
  readonly issues?: readonly Issue[];
  /** What went wrong underneath; logged, never sent. */
  readonly cause?: unknown;
}

/**
 * A refusal with a code of the table. It is a `TRPCError`, so that tRPC answers it with the table's status wherever it
 * is thrown, inside a running subscription too.
 */
export class UsherError extends TRPCError {
  override readonly name = 'UsherError';
  /** The code of the table; `code` is tRPC's own. */
  readonly reason: Code;
  readonly retryAfterMs: number | undefined;
  readonly issues: readonly Issue[] | undefined;

  constructor(reason: Code, options: UsherErrorOptions = {}) {
    super({ code: codes[reason].trpc, message: options.message ?? codes[reason].message, cause: options.cause });
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
    this.issues = options.issues;
  }
}

/** A `BAD_REQUEST` for one fault at one place. */
export const badRequest = (path: string, message: string): UsherError =>
  new UsherError('BAD_REQUEST', { message, issues: [{ path, message }] });
