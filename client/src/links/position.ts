import type { Operation } from '@trpc/client';

/** `op`, continued after `lastEventId`. */
export function withLastEventId(op: Operation, lastEventId: string | undefined): Operation {
  return lastEventId === undefined ? op : { ...op, input: { ...(op.input as object | undefined), lastEventId } };
}

/** The position a subscription was asked to continue after. */
export function lastEventIdOf(input: unknown): string | undefined {
  const lastEventId = (input as { lastEventId?: unknown } | null | undefined)?.lastEventId;
  return typeof lastEventId === 'string' ? lastEventId : undefined;
}
