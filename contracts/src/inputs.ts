import { z } from 'zod';
import { limits } from './limits.ts';
import { parseTopicName } from './topic-name.ts';

const topic = z
  .string()
  .refine((value) => parseTopicName(value) !== null, { error: 'Wanted a topic of the form "name:id"' });

/** `<ms>-<seq>`, or an item's id `<ms>-<seq>~<unique>`. */
const position = z.string().regex(/^\d{1,16}-\d{1,16}(~[\w.:-]{1,64})?$/, { error: 'Wanted a position' });

/** Half a surrogate pair would become another text in Redis. */
const text = (maxLength: number) =>
  z
    .string()
    .min(1)
    .max(maxLength)
    .refine((value) => !/\p{Cs}/u.test(value), { error: 'Wanted well-formed Unicode' });

const event = z.object({ name: text(128), data: z.unknown().default({}) });
const idempotencyKey = text(limits.maxIdempotencyKeyLength);
const owner = text(256);
const historyCount = z.int().min(0).max(limits.maxBatchEvents);
const id = text(256);

export const topicInput = z.object({ topic });

export const issueInput = z
  .object({
    /** SHA-256, in hex, of a nonce that the connection must reveal. */
    binding: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, { error: 'Wanted a SHA-256 in hex' })
      .optional(),
  })
  .nullish()
  .transform((value) => value ?? {});

export const createInput = z.object({ topic, owner: owner.optional(), state: z.unknown().optional() });

export const publishInput = z.object({
  topic,
  event,
  state: z.unknown().optional(),
  owner: owner.optional(),
  idempotencyKey: idempotencyKey.optional(),
  durable: z.boolean().default(true),
});

export const publishManyInput = z.object({
  topic,
  events: z
    .array(event.extend({ idempotencyKey: idempotencyKey.optional() }))
    .min(1)
    .max(limits.maxBatchEvents),
  state: z.unknown().optional(),
  owner: owner.optional(),
  durable: z.boolean().default(true),
});

export const closeInput = z.object({ topic, event: event.optional(), state: z.unknown().optional() });

export const historyInput = z.object({
  topic,
  /** Events after this position, which must be of this log. */
  after: position.optional(),
  /** Events before this position. */
  before: position.optional(),
  limit: z.int().min(1).max(limits.maxBatchEvents).default(100),
  reverse: z.boolean().default(false),
});

export const pollInput = z.object({
  topic,
  lastEventId: position.optional(),
  waitMs: z.int().min(0).max(limits.maxPollWaitMs).default(0),
  limit: z.int().min(1).max(limits.maxBatchEvents).default(100),
  history: historyCount.default(0),
});

export const subscribeInput = z.object({
  topic,
  /** tRPC puts the last id a client has seen here when it resubscribes. */
  lastEventId: position.optional(),
  history: historyCount.default(0),
  presence: z.boolean().default(false),
});

export const connectionListInput = z
  .object({ userId: id.optional(), sessionId: id.optional(), limit: z.int().min(1).max(1_000).default(100) })
  .nullish()
  .transform((value) => value ?? { limit: 100 });

export const disconnectInput = z.object({ connectionId: id });

export const revokeInput = z
  .object({ userId: id.optional(), sessionId: id.optional() })
  .refine((value) => value.userId !== undefined || value.sessionId !== undefined, {
    error: 'Wanted a userId or a sessionId',
  });

export type IssueInput = z.output<typeof issueInput>;
export type CreateInput = z.output<typeof createInput>;
export type PublishInput = z.output<typeof publishInput>;
export type PublishManyInput = z.output<typeof publishManyInput>;
export type CloseInput = z.output<typeof closeInput>;
export type HistoryInput = z.output<typeof historyInput>;
export type PollInput = z.output<typeof pollInput>;
export type SubscribeInput = z.output<typeof subscribeInput>;
export type ConnectionListInput = z.output<typeof connectionListInput>;
export type DisconnectInput = z.output<typeof disconnectInput>;
export type RevokeInput = z.output<typeof revokeInput>;
