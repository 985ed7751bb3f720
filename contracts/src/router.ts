import { initTRPC, type TRPCError } from '@trpc/server';
import { ZodError } from 'zod';
import type { Code } from './codes.ts';
import { type Issue, UsherError } from './error.ts';
import {
  closeInput,
  connectionListInput,
  createInput,
  disconnectInput,
  historyInput,
  issueInput,
  pollInput,
  publishInput,
  publishManyInput,
  revokeInput,
  subscribeInput,
  topicInput,
} from './inputs.ts';
import { requestIdKey, type UsherContext } from './ports.ts';

const t = initTRPC.context<UsherContext>().create({
  isDev: false,
  // A quiet stream of server-sent events is cut by proxies, and by Bun after a minute.
  sse: { ping: { enabled: true, intervalMs: 15_000 } },
  errorFormatter: ({ shape, error, ctx }) => {
    const refusal = describeError(error);
    return {
      ...shape,
      message: refusal.message,
      data: {
        ...shape.data,
        reason: refusal.reason,
        traceId: ctx?.traceId,
        retryAfterMs: refusal.retryAfterMs,
        issues: refusal.issues,
      },
    };
  },
});

export interface ErrorDescription {
  readonly reason: Code;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
  readonly issues: readonly Issue[] | undefined;
}

const trpcReasons: Partial<Record<TRPCError['code'], Code>> = {
  BAD_REQUEST: 'BAD_REQUEST',
  PARSE_ERROR: 'BAD_REQUEST',
  NOT_FOUND: 'BAD_REQUEST',
  METHOD_NOT_SUPPORTED: 'BAD_REQUEST',
  UNSUPPORTED_MEDIA_TYPE: 'BAD_REQUEST',
  UNPROCESSABLE_CONTENT: 'BAD_REQUEST',
  PAYLOAD_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
  UNAUTHORIZED: 'UNAUTHORIZED',
  FORBIDDEN: 'FORBIDDEN',
  TOO_MANY_REQUESTS: 'RATE_LIMITED',
};

/** What a caller is told of an error: a code of the table, and never what lies underneath an unexpected one. */
export function describeError(error: TRPCError): ErrorDescription {
  if (error instanceof UsherError) return error;
  if (error.cause instanceof ZodError) {
    const issues = error.cause.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
    const message = `The input is not valid: ${issues.map((issue) => `${issue.path || 'input'}: ${issue.message}`).join('; ')}`;
    return { reason: 'BAD_REQUEST', message, issues, retryAfterMs: undefined };
  }
  const reason = trpcReasons[error.code];
  if (reason) return { reason, message: error.message, issues: undefined, retryAfterMs: undefined };
  return { reason: 'INTERNAL', message: 'Internal error', issues: undefined, retryAfterMs: undefined };
}

const signedIn = t.procedure.use(async ({ ctx, type, signal, next }) => {
  const principal = await ctx.authenticate();
  // A subscription's call is over when it has begun: what lasts is counted where it is served.
  if (type === 'subscription') return next({ ctx: { principal, work: undefined } });
  const work = ctx.begin?.(principal, signal);
  try {
    if (type === 'query') await work?.turn();
    const result = await next({ ctx: { principal, work } });
    // A long poll may outlive the right to its answer.
    if (type === 'query' && work?.signal.reason instanceof UsherError) throw work.signal.reason;
    return result;
  } finally {
    work?.end();
  }
});

const scoped = (scope: string) =>
  signedIn.use(({ ctx, next }) => {
    if (!ctx.principal.scopes.includes(scope)) {
      throw new UsherError('FORBIDDEN', { message: `Scope "${scope}" is required` });
    }
    return next();
  });

const publisher = scoped('publish');
const admin = scoped('admin');

/** Brings the request's id to a subscription that came over a socket, so that it can be served natively. */
const subscriber = signedIn.use(async ({ ctx, getRawInput, next }) => {
  const raw =
    ctx.socket === null ? undefined : ((await getRawInput()) as { [requestIdKey]?: number | string } | undefined);
  const requestId = raw?.[requestIdKey];
  return next({ ctx: { native: requestId === undefined ? undefined : { socket: ctx.socket, requestId } } });
});

/** The whole API of Usher. */
export const usherRouter = t.router({
  ticket: t.router({
    /** One-time ticket for one connection. */
    issue: signedIn
      .input(issueInput)
      .mutation(({ ctx, input }) => ctx.ports.tickets.issue(ctx.principal, input, ctx.traceId)),
  }),
  health: t.router({
    /** The process turns. */
    live: t.procedure.query(({ ctx }) => ctx.ports.health.live()),
    /** It can do its work. */
    ready: t.procedure.query(({ ctx }) => ctx.ports.health.ready()),
  }),
  topic: t.router({
    create: publisher.input(createInput).mutation(({ ctx, input }) => ctx.ports.topics.create(input)),
    delete: publisher.input(topicInput).mutation(({ ctx, input }) => ctx.ports.topics.delete(input)),
    publish: publisher.input(publishInput).mutation(({ ctx, input }) => ctx.ports.topics.publish(ctx.principal, input)),
    publishMany: publisher
      .input(publishManyInput)
      .mutation(({ ctx, input }) => ctx.ports.topics.publishMany(ctx.principal, input)),
    close: publisher.input(closeInput).mutation(({ ctx, input }) => ctx.ports.topics.close(input)),
    state: signedIn.input(topicInput).query(({ ctx, input }) => ctx.ports.topics.state(ctx.principal, input)),
    history: signedIn.input(historyInput).query(({ ctx, input }) => ctx.ports.topics.history(ctx.principal, input)),
    poll: signedIn.input(pollInput).query(({ ctx, input }) => ctx.ports.topics.poll(ctx.principal, input, ctx.work)),
    subscribe: subscriber.input(subscribeInput).subscription(async function* ({
      ctx,
      input,
      signal = new AbortController().signal,
    }) {
      // A socket bounds its subscriptions, and ends with its right, by itself.
      const work = ctx.socket === null ? ctx.begin?.(ctx.principal, signal) : undefined;
      try {
        yield* ctx.ports.topics.subscribe(ctx.principal, input, {
          signal: work?.signal ?? signal,
          native: ctx.native,
        });
        if (work?.signal.reason instanceof UsherError) throw work.signal.reason;
      } finally {
        work?.end();
      }
    }),
  }),
  presence: t.router({
    list: signedIn.input(topicInput).query(({ ctx, input }) => ctx.ports.presence.list(ctx.principal, input)),
  }),
  connection: t.router({
    list: admin.input(connectionListInput).query(({ ctx, input }) => ctx.ports.connections.list(input)),
    disconnect: admin
      .input(disconnectInput)
      .mutation(({ ctx, input }) => ctx.ports.connections.disconnect(input, ctx.principal)),
  }),
  session: t.router({
    revoke: admin.input(revokeInput).mutation(({ ctx, input }) => ctx.ports.connections.revoke(input, ctx.principal)),
  }),
});

export type UsherRouter = typeof usherRouter;
