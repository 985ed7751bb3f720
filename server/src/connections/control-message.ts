import { type Code, type ConnectionInfo, isCode } from '@usher/contracts';
import { z } from 'zod';

const version = z.literal(1);
const selection = { userId: z.string().optional(), sessionId: z.string().optional() };

const question = z.discriminatedUnion('type', [
  z.object({ type: z.literal('list'), ...selection, limit: z.number() }),
  z.object({ type: z.literal('disconnect'), connectionId: z.string(), code: z.custom<Code>(isCode) }),
  z.object({ type: z.literal('revoke'), ...selection, at: z.number() }),
]);

const connection = z.object({
  connectionId: z.string(),
  instanceId: z.string(),
  userId: z.string(),
  sessionId: z.string(),
  since: z.number(),
  address: z.string().nullable(),
}) satisfies z.ZodType<ConnectionInfo>;

const answer = z.object({ disconnected: z.number(), connections: z.array(connection) });

/** What one instance asks all others. A question means the same however often it comes. */
export type Question = z.output<typeof question>;

/** What one instance has to say to a question. */
export type Answer = z.output<typeof answer>;

const asked = z.object({ v: version, id: z.string(), from: z.string(), question });
const answered = z.object({ v: version, id: z.string(), from: z.string(), answer });

export type Asked = z.output<typeof asked>;
export type Answered = z.output<typeof answered>;

/** A message as an object; `null` when it is not of this form, or of a version yet to come. */
function parse<T>(schema: z.ZodType<T>, text: string): T | null {
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

export const parseAsked = (text: string): Asked | null => parse(asked, text);
export const parseAnswered = (text: string): Answered | null => parse(answered, text);
