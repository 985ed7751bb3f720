import { getErrorShape } from '@trpc/server';
import { type UsherError, usherRouter } from '@usher/contracts';

/** An error as tRPC sends it, made where tRPC has made no context yet: with the table's code and the trace id. */
export const errorShape = (error: UsherError, traceId: string) =>
  getErrorShape({
    config: usherRouter._def._config,
    error,
    type: 'unknown',
    path: undefined,
    input: undefined,
    // Only the trace id is read of it.
    ctx: { traceId } as never,
  });
