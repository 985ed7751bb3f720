import { timingSafeEqual } from 'node:crypto';
import { fetchRequestHandler } from '@trpc/server/adapters/fetch';
import {
  badRequest,
  describeError,
  type IssuedTicket,
  UsherError,
  type UsherPorts,
  usherRouter,
} from '@usher/contracts';
import type { Logger } from 'pino';
import type { Granted } from '../auth/verdict.ts';
import { healthAnswer, isHealthPath } from '../health/answer.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Peer, Upgrade } from '../runtime/runtime.ts';
import { type BodyLimits, collect, readBody, weightOf } from './body.ts';
import { createBodyBudget } from './body-budget.ts';
import { type CorsOptions, corsHeaders, preflight } from './cors.ts';
import { refusal, retryAfterHeader, trpcRefusal, withTraceId } from './refusal.ts';
import { traceIdOf } from './trace.ts';
import type { RequestFacts, Upgrader } from './upgrade.ts';
import type { RequestWork, WorkCounter } from './work.ts';

export interface HttpOptions {
  readonly ports: UsherPorts;
  readonly upgrader: Upgrader;
  /** @throws UsherError */
  readonly authenticate: (facts: RequestFacts) => Promise<Granted>;
  readonly work: WorkCounter;
  readonly body: BodyLimits;
  readonly cors: CorsOptions;
  readonly metrics: Metrics;
  /** Bearer for `/metrics`; without one only loopback and private peers see it. */
  readonly metricsToken: string | null;
  readonly trustProxy: boolean;
  /** Sees each request first. @throws UsherError */
  readonly intercept: (request: Request) => void | Promise<void>;
  readonly log: Logger;
  /** Calls of one HTTP batch. @default 100 */
  readonly maxBatchSize?: number;
}

export type Handle = (request: Request, peer: Peer) => Promise<Response | Upgrade>;

const securityHeaders = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
} as const;

/** Everything that arrives over HTTP: tRPC, its plain aliases, health, metrics, and upgrades. */
export function createHandle(options: HttpOptions): Handle {
  const { ports, metrics, log } = options;
  const bodies = createBodyBudget();

  const counted = (error: unknown, traceId: string): UsherError => {
    const refused = toRefusal(error);
    if (refused.reason === 'INTERNAL') log.error({ err: error, traceId }, 'A request failed');
    metrics.refusals.labels(refused.reason).inc();
    return refused;
  };

  /** Whoever sends much tells first who he is: else strangers could fill the memory by sending slowly. */
  const weighed = async <T>(request: Request, grant: () => Promise<Granted>, read: () => Promise<T>): Promise<T> => {
    const bytes = weightOf(request, options.body);
    if (bytes === 0) return read();
    const { principal } = await grant();
    const giveBack = bodies.take(principal.userId, bytes);
    try {
      return await read();
    } finally {
      giveBack();
    }
  };

  const issueTicket = async (facts: RequestFacts): Promise<Response> => {
    const { request, traceId } = facts;
    if (request.method !== 'POST') {
      throw new UsherError('BAD_REQUEST', { message: `Wanted POST: current value is "${request.method}"` });
    }
    const granted = await options.authenticate(facts);
    const { principal } = granted;
    const bytes = await weighed(
      request,
      async () => granted,
      () => collect(request, options.body),
    );
    const text = new TextDecoder().decode(bytes).trim();
    if (text === '') return ticketAnswer(await ports.tickets.issue(principal, {}, traceId));
    let input: unknown;
    try {
      input = JSON.parse(text);
    } catch (cause) {
      throw new UsherError('BAD_REQUEST', { message: 'Wanted a JSON body', cause });
    }
    const call = usherRouter.createCaller({ ports, traceId, authenticate: async () => principal, socket: null });
    return ticketAnswer(await call.ticket.issue(input as Parameters<typeof call.ticket.issue>[0]));
  };

  const trpc = async (facts: RequestFacts): Promise<Response> => {
    const { traceId } = facts;
    let asked: Promise<Granted> | undefined;
    const grant = (): Promise<Granted> => {
      asked ??= options.authenticate(facts);
      return asked;
    };
    let req: Request;
    try {
      req = await weighed(facts.request, grant, () => readBody(withUrl(facts), options.body));
    } catch (error) {
      return trpcRefusal(counted(error, traceId), traceId);
    }
    let granted: Granted | undefined;
    let hasContext = false;
    let work: RequestWork | undefined;
    const response = await fetchRequestHandler({
      endpoint: '/trpc',
      req,
      router: usherRouter,
      allowMethodOverride: true,
      maxBatchSize: options.maxBatchSize ?? 100,
      createContext: ({ info }) => {
        hasContext = true;
        work = options.work.request(info.calls.length);
        return {
          ports,
          traceId,
          socket: null,
          async authenticate() {
            granted = await grant();
            return granted.principal;
          },
          begin: (principal, signal) => (work as RequestWork).begin(granted ?? { principal, issuedAt: 0 }, signal),
        };
      },
      responseMeta: ({ errors }) => {
        const [first] = errors;
        const retryAfterMs = first instanceof UsherError ? first.retryAfterMs : undefined;
        return { headers: { 'Cache-Control': 'no-store', ...retryAfterHeader(retryAfterMs) } };
      },
      onError({ error, path }) {
        metrics.refusals.labels(describeError(error).reason).inc();
        if (error.code !== 'INTERNAL_SERVER_ERROR') return;
        log.error({ err: error.cause ?? error, path, traceId }, 'A call failed');
      },
    });
    work?.end();
    return hasContext ? response : withTraceId(response, traceId);
  };

  const showMetrics = async (facts: RequestFacts, peer: Peer): Promise<Response> => {
    const { metricsToken } = options;
    const given = facts.request.headers.get('authorization')?.match(/^Bearer (.+)$/i)?.[1];
    // Behind a proxy on a private network every peer is near: the client it speaks for must be, too.
    const near = isNear(peer.address) && isNear(facts.address);
    const allowed = metricsToken === null ? near : given !== undefined && isEqual(given, metricsToken);
    if (!allowed) throw new UsherError(metricsToken === null ? 'FORBIDDEN' : 'UNAUTHORIZED');
    return new Response(await metrics.registry.metrics(), {
      headers: { 'Content-Type': metrics.registry.contentType },
    });
  };

  const route = async (facts: RequestFacts, peer: Peer): Promise<Response | Upgrade> => {
    const { request, url } = facts;
    if (request.headers.get('upgrade')?.toLowerCase() === 'websocket') return options.upgrader.take(facts, peer);
    const health = healthAnswer(ports.health, url.pathname);
    if (health !== null) return health;
    if (url.pathname === '/ws-ticket') return issueTicket(facts);
    if (url.pathname === '/metrics') return showMetrics(facts, peer);
    if (url.pathname.startsWith('/trpc/')) return trpc(facts);
    throw new UsherError('WRONG_PATH', {
      message: 'Nothing is here: calls go to /trpc/<procedure>, upgrades to /trpc, /ws or /websocket',
    });
  };

  return async (request, peer) => {
    const traceId = traceIdOf(request.headers);
    let cors: Record<string, string> = {};
    try {
      const url = urlOf(request);
      cors = corsHeaders(request, url, options.cors);
      const isPreflight = !isHealthPath(url.pathname) || request.headers.has('access-control-request-method');
      if (request.method === 'OPTIONS' && isPreflight) return preflight(cors);
      await options.intercept(request);
      const address = (options.trustProxy && forwardedFor(request)) || peer.address;
      const answer = await route({ request, url, traceId, address }, peer);
      return answer instanceof Response ? withHeaders(answer, traceId, cors) : answer;
    } catch (error) {
      return withHeaders(refusal(counted(error, traceId), traceId), traceId, cors);
    }
  };
}

const ticketAnswer = (issued: IssuedTicket): Response =>
  Response.json(issued, { headers: { 'Cache-Control': 'no-store' } });

/** A health check of HTTP/1.0 sends no Host, as HAProxy's does: then `request.url` is the bare path. */
function urlOf(request: Request): URL {
  const url = URL.parse(request.url, 'http://localhost');
  if (url === null) throw badRequest('host', 'Wanted a Host header of the form "host:port"');
  return url;
}

/** tRPC parses the url again, and takes only a whole one. */
const withUrl = ({ request, url }: RequestFacts): Request =>
  request.url.startsWith('/') ? new Request(url.href, request) : request;

function toRefusal(error: unknown): UsherError {
  if (error instanceof UsherError) return error;
  // A caller's zod error, wrapped by tRPC, is the only other thing that is not ours to blame.
  if (error instanceof Error && error.name === 'TRPCError') {
    const { reason, message, issues } = describeError(error as Parameters<typeof describeError>[0]);
    return new UsherError(reason, { message, ...(issues && { issues }), cause: error });
  }
  return new UsherError('INTERNAL', { cause: error });
}

function withHeaders(response: Response, traceId: string, cors: Readonly<Record<string, string>>): Response {
  response.headers.set('X-Trace-Id', traceId);
  for (const [name, value] of Object.entries(securityHeaders)) response.headers.set(name, value);
  for (const [name, value] of Object.entries(cors)) response.headers.set(name, value);
  return response;
}

/** The address the nearest proxy saw: the last entry, since those before it can be made up by the client. */
const forwardedFor = (request: Request): string | undefined =>
  request.headers.get('x-forwarded-for')?.split(',').at(-1)?.trim().slice(0, 64);

const isEqual = (left: string, right: string): boolean => {
  const a = Buffer.from(left);
  const b = Buffer.from(right);
  return a.length === b.length && timingSafeEqual(a, b);
};

/** Loopback and private addresses, of IPv4 and IPv6. */
function isNear(address: string | null): boolean {
  if (address === null) return false;
  const plain = address.replace(/^::ffff:/i, '');
  return (
    /^(127\.|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.)/.test(plain) || /^(::1$|f[cd]|fe80:)/i.test(plain)
  );
}
