import type { Operation, OperationResultEnvelope } from '@trpc/client';

/** `op`, continued after `lastEventId`. */
export const withLastEventId = (op: Operation, lastEventId: string | undefined): Operation =>
  lastEventId === undefined ? op : { ...op, input: { ...(op.input as object | undefined), lastEventId } };

/** The id of an item, where a later subscription can continue. */
export const idOf = ({ result }: OperationResultEnvelope<unknown, unknown>): string | undefined =>
  'id' in result ? result.id : undefined;
