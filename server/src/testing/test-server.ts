import { randomBytes } from 'node:crypto';
import { badRequest, type Code, type Published, type TopicDefinition, UsherError } from '@usher/contracts';
import { SignJWT } from 'jose';
import { readConfig } from '../config/config.ts';
import { createLog, type Log } from '../log.ts';
import { startServer, type UsherServer } from '../server.ts';
import { type Relay, startRelay } from './relay.ts';
import { createTestStores, type TestStores } from './stores.ts';

export interface TestServerOptions {
  /** Variables of the configuration, such as `TOPIC_MAX_EVENTS`. @default {} */
  readonly env?: Readonly<Record<string, string>>;
  /** A real Redis; the faults `redisAway` and `loseLogs` are then yours to make. @default memory */
  readonly redisUrl?: string;
  /** Topics besides the boxed ones. @default [] */
  readonly topics?: readonly TopicDefinition[];
  /** @default silent */
  readonly log?: Log;
}

export interface TestCaller {
  /** @default 'test-user' */
  readonly userId?: string;
  /** @default 'test-session' */
  readonly sessionId?: string;
  /** @default [] */
  readonly scopes?: readonly string[];
  /** Granted topic patterns. @default [] */
  readonly topics?: readonly string[];
  /** @default 3600000 */
  readonly expiresInMs?: number;
}

/** What can be made to go wrong. Each is the real thing, at the place where it happens. */
export interface TestFaults {
  /** Ends every TCP connection, now. Clients may come back at once. */
  dropConnections(): void;
  /** Nothing passes and nobody is told, until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Each ticket asked for is refused with this code; `null` stops it. */
  refuseTickets(code: Code | null): void;
  /** The log and the ticket store are gone, or back. @throws TypeError with a real Redis */
  redisAway(away: boolean): void;
  /** Every log is empty, as after a restart without data. @throws TypeError with a real Redis */
  loseLogs(): void;
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** The server behind the relay. */
  readonly server: UsherServer;
  readonly faults: TestFaults;
  /** A token that this server accepts. */
  token(caller?: TestCaller): Promise<string>;
  /** A ticket, as `POST /ws-ticket` gives it. */
  ticket(caller?: TestCaller): Promise<string>;
  /** Publishes as the application would; `owner` counts at the first publish. */
  publish(
    topic: string,
    event: { readonly name: string; readonly data?: unknown },
    options?: { readonly owner?: string; readonly state?: unknown },
  ): Promise<Published>;
  close(): Promise<void>;
}

/** In-process callers are no users: no rate applies to them. */
const application = { userId: 'application', sessionId: 'test', scopes: ['publish'], topics: ['*'], expiresAt: null };

const readyWithinMs = 10_000;

/** A test begins with a Redis that is there; one that is not is told, rather than waited for. */
async function untilReady(server: UsherServer): Promise<void> {
  const deadline = Date.now() + readyWithinMs;
  while (server.ports.health.ready().status !== 'ok') {
    if (Date.now() > deadline) {
      await server.close();
      throw new Error(`Redis was not ready within ${readyWithinMs} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const secret = randomBytes(32).toString('hex');
  const read = readConfig({
    HOST: '127.0.0.1',
    PORT: '0',
    JWT_SECRET: secret,
    ...(options.redisUrl !== undefined && { REDIS_URL: options.redisUrl }),
    ...options.env,
  });
  if (!read.ok) {
    const { variable, message } = read.faults[0] ?? { variable: 'env', message: 'not valid' };
    throw badRequest(variable, `${variable}: ${message}`);
  }
  const { config } = read;
  const stores: TestStores | null = config.redisUrls === null ? createTestStores(config) : null;
  let refusedWith: Code | null = null;
  const server = await startServer({
    config,
    topics: options.topics ?? [],
    log: options.log ?? createLog({ level: 'silent' }),
    ...(stores && { stores }),
    intercept({ url }) {
      const { pathname } = new URL(url);
      const asksForTicket = pathname === '/ws-ticket' || pathname.includes('ticket.issue');
      if (asksForTicket && refusedWith !== null) throw new UsherError(refusedWith, { retryAfterMs: 100 });
    },
  });
  if (stores === null) await untilReady(server);
  const relay: Relay = await startRelay(server.port);
  const url = `http://127.0.0.1:${relay.port}`;

  const own = (): TestStores => {
    if (stores === null) throw new TypeError('Wanted a server in memory: with a real Redis this fault is made there');
    return stores;
  };
  const token = (caller: TestCaller = {}): Promise<string> =>
    new SignJWT({
      sid: caller.sessionId ?? 'test-session',
      scope: (caller.scopes ?? []).join(' '),
      topics: caller.topics ?? [],
    })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(caller.userId ?? 'test-user')
      .setIssuedAt()
      .setExpirationTime(new Date(Date.now() + (caller.expiresInMs ?? 3_600_000)))
      .sign(new TextEncoder().encode(secret));

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      await relay.close();
      await server.close();
      stores?.close();
    })();
    return closing;
  };

  return {
    url,
    server,
    faults: {
      dropConnections: relay.cut,
      freeze: relay.freeze,
      thaw: relay.thaw,
      refuseTickets(code) {
        refusedWith = code;
      },
      redisAway: (away) => own().setAway(away),
      loseLogs: () => own().loseLogs(),
    },
    token,
    async ticket(caller) {
      const issued = await server.ports.tickets.issue(
        {
          userId: caller?.userId ?? 'test-user',
          sessionId: caller?.sessionId ?? 'test-session',
          scopes: caller?.scopes ?? [],
          topics: caller?.topics ?? [],
          expiresAt: Date.now() + (caller?.expiresInMs ?? 3_600_000),
        },
        {},
        'test',
      );
      return issued.ticket;
    },
    publish: (topic, event, { owner, state } = {}) =>
      server.topics.publish(application, {
        topic,
        event: { name: event.name, data: event.data ?? {} },
        durable: true,
        ...(owner !== undefined && { owner }),
        ...(state !== undefined && { state }),
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
