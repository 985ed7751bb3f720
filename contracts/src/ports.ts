import type { TrackedEnvelope } from '@trpc/server';
import type {
  CloseInput,
  ConnectionListInput,
  CreateInput,
  DisconnectInput,
  HistoryInput,
  IssueInput,
  PollInput,
  PublishInput,
  PublishManyInput,
  RevokeInput,
  SubscribeInput,
} from './inputs.ts';
import type { Member, TopicEvent, TopicItem } from './items.ts';

/** Who is asking, and what they may do. */
export interface Principal {
  readonly userId: string;
  readonly sessionId: string;
  readonly scopes: readonly string[];
  /** Granted topic patterns: `job:42`, `job:*`, `*`. */
  readonly topics: readonly string[];
  /** When the right ends, in ms since 1970; `null`: never. */
  readonly expiresAt: number | null;
}

export interface IssuedTicket {
  readonly ticket: string;
  /** In ms since 1970. */
  readonly expiresAt: number;
  readonly expiresInMs: number;
  readonly path: string;
}

export interface TicketsPort {
  /** MUST answer at once when the store is not ready. @throws UsherError WS_TICKET_REDIS_NOT_READY, RATE_LIMITED */
  issue(principal: Principal, input: IssueInput, traceId: string): Promise<IssuedTicket>;
}

export interface Published {
  /** `null` when the event was only delivered locally. */
  readonly position: string | null;
  readonly durable: boolean;
  /** The idempotency key had been used: nothing was appended. */
  readonly duplicate: boolean;
}

export interface PublishedMany {
  readonly positions: readonly (string | null)[];
  readonly durable: boolean;
  readonly duplicates: readonly boolean[];
}

export interface TopicPage {
  readonly events: readonly TopicEvent[];
  /** The position of the log's end. */
  readonly position: string;
  /** Nothing lies beyond this page in the direction asked for. */
  readonly complete: boolean;
}

export interface PollAnswer {
  readonly items: readonly { readonly id: string; readonly item: TopicItem }[];
  /** Give it back with the next poll. */
  readonly lastEventId: string;
}

/** The WebSocket a call came over, as far as the subscription needs it to be served natively. */
export interface NativeRequest {
  /** The socket; opaque to contracts. */
  readonly socket: unknown;
  /** The client's id of this request, as it stands in each frame. */
  readonly requestId: number | string;
}

export interface SubscribeOptions {
  readonly signal: AbortSignal;
  /** Absent over HTTP, and in-process. */
  readonly native: NativeRequest | undefined;
}

export interface TopicsPort {
  create(input: CreateInput): Promise<{ readonly position: string; readonly created: boolean }>;
  delete(input: { readonly topic: string }): Promise<{ readonly deleted: boolean }>;
  publish(principal: Principal, input: PublishInput): Promise<Published>;
  publishMany(principal: Principal, input: PublishManyInput): Promise<PublishedMany>;
  close(input: CloseInput): Promise<{ readonly position: string }>;
  state(
    principal: Principal,
    input: { readonly topic: string },
  ): Promise<{ readonly position: string; readonly state: unknown }>;
  history(principal: Principal, input: HistoryInput): Promise<TopicPage>;
  /** `work` is told before a long wait. */
  poll(principal: Principal, input: PollInput, work: Pick<Work, 'signal' | 'rest'> | undefined): Promise<PollAnswer>;
  subscribe(
    principal: Principal,
    input: SubscribeInput,
    options: SubscribeOptions,
  ): AsyncGenerator<TrackedEnvelope<TopicItem>, void>;
}

export interface PresencePort {
  list(principal: Principal, input: { readonly topic: string }): Promise<{ readonly members: readonly Member[] }>;
}

export interface ConnectionInfo {
  readonly connectionId: string;
  readonly instanceId: string;
  readonly userId: string;
  readonly sessionId: string;
  /** In ms since 1970. */
  readonly since: number;
  readonly address: string | null;
}

export interface ConnectionsPort {
  list(input: ConnectionListInput): Promise<{ readonly connections: readonly ConnectionInfo[] }>;
  /** `actor` stands in the audit log. */
  disconnect(input: DisconnectInput, actor?: Principal): Promise<{ readonly disconnected: number }>;
  revoke(input: RevokeInput, actor?: Principal): Promise<{ readonly disconnected: number }>;
}

export interface Check {
  readonly ok: boolean;
  readonly [detail: string]: unknown;
}

export interface Liveness {
  readonly status: 'ok';
  readonly version: string;
  /** Which of several answered. */
  readonly instanceId?: string;
}

export interface Readiness {
  readonly status: 'ok' | 'unavailable';
  readonly checks: Readonly<Record<string, Check>>;
  readonly version: string;
  readonly instanceId?: string;
}

export interface HealthPort {
  live(): Liveness;
  /** MUST answer without waiting for Redis. */
  ready(): Readiness;
}

/** What the server supplies and the router is written over. */
export interface UsherPorts {
  readonly tickets: TicketsPort;
  readonly topics: TopicsPort;
  readonly presence: PresencePort;
  readonly connections: ConnectionsPort;
  readonly health: HealthPort;
}

/** Something under way for a caller. */
export interface Work {
  /** Aborts when the caller has left, or, with a `UsherError`, when the right to it has ended. */
  readonly signal: AbortSignal;
  /** Resolves when it may make an answer of any size: such answers of one caller are made a few at a time. */
  turn(): Promise<void>;
  /** Gives the turn back before a long wait, after which little is to be answered. */
  rest(): void;
  /** Gives its place back. */
  end(): void;
}

/** The context of one HTTP request, or of one WebSocket connection. */
export interface UsherContext {
  readonly ports: UsherPorts;
  readonly traceId: string;
  /** Tells who asks; asked only by procedures that need to know. @throws UsherError */
  readonly authenticate: () => Promise<Principal>;
  /** Takes a place among what the caller has under way. Absent: nobody counts. @throws UsherError RATE_LIMITED */
  readonly begin?: (principal: Principal, signal: AbortSignal | undefined) => Work;
  /** The connection's socket; `null` over HTTP. */
  readonly socket: unknown;
}

/**
 * The key under which the server's decoder leaves a request's id on its raw input: tRPC hands the id to no procedure,
 * and a symbol survives its spread of `lastEventId` [trpc-wire.md, section 1.1].
 */
export const requestIdKey: unique symbol = Symbol('usher.requestId');
