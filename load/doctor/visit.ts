import { randomUUID } from 'node:crypto';
import type { Caller, Callers } from './caller.ts';
import { Finding } from './finding.ts';
import { type Answer, type Http, tell } from './http.ts';
import type { DoctorOptions } from './options.ts';
import { type DoctorSocket, openSocket } from './socket.ts';

/** One run of the doctor: what the steps share. */
export interface Visit {
  readonly options: DoctorOptions;
  readonly http: Http;
  readonly callers: Callers;
  /** Learnt by the sign-in step: everybody is one user. */
  authDisabled: boolean;
  /** A topic of its own that the first caller may read; deleted in the end. */
  makeTopic(): Promise<string>;
  publish(topic: string, name: string, data?: object): Promise<string>;
  ticket(caller: Caller): Promise<string>;
  /** A connection with this ticket, closed at the end of the step. */
  open(ticket: string, path?: string): Promise<DoctorSocket>;
  /** The same for the first caller, with a ticket of its own. */
  connect(path?: string): Promise<DoctorSocket>;
  /** Tells something that is not wrong and yet to be known. */
  warn(text: string): void;
}

export interface OwnedVisit extends Visit {
  readonly warnings: string[];
  closeSockets(): Promise<void>;
  deleteTopics(): Promise<void>;
}

/** The data of an answer, or a finding. */
export function accepted<T>(answer: Answer, what: string, hint: string | null = null): T {
  if (answer.status !== 200 || answer.refusal !== null) throw new Finding(`${what} was answered ${tell(answer)}`, hint);
  return answer.data as T;
}

export function createVisit(options: DoctorOptions, http: Http, callers: Callers): OwnedVisit {
  const sockets: DoctorSocket[] = [];
  const topics: string[] = [];
  const warnings: string[] = [];

  const ticket = async (caller: Caller): Promise<string> => {
    const answer = await http.send('POST', '/ws-ticket', caller);
    const hint = answer.refusal?.code === 'RATE_LIMITED' ? 'TICKETS_PER_MINUTE is used up: wait a minute.' : null;
    return accepted<{ ticket: string }>(answer, 'POST /ws-ticket', hint).ticket;
  };

  const open = async (given: string, path = '/trpc'): Promise<DoctorSocket> => {
    const socket = await openSocket(http.url, path, given, options.timeoutMs);
    sockets.push(socket);
    return socket;
  };

  return {
    options,
    http,
    callers,
    authDisabled: false,
    warnings,
    ticket,
    async makeTopic() {
      const topic = `agent:doctor-${randomUUID()}`;
      const owner = callers.first.userId ?? 'dev';
      const answer = await http.mutate('topic.create', { topic, owner }, callers.publisher);
      accepted(answer, 'topic.create', publishHint(answer));
      topics.push(topic);
      return topic;
    },
    async publish(topic, name, data = {}) {
      const input = { topic, event: { name, data }, idempotencyKey: randomUUID() };
      const answer = await http.mutate('topic.publish', input, callers.publisher);
      return accepted<{ position: string }>(answer, 'topic.publish', publishHint(answer)).position;
    },
    open,
    connect: async (path) => open(await ticket(callers.first), path),
    warn: (text) => void warnings.push(text),
    async closeSockets() {
      await Promise.all(sockets.splice(0).map((socket) => socket.close()));
    },
    async deleteTopics() {
      for (const topic of topics.splice(0)) {
        await http.mutate('topic.delete', { topic }, callers.publisher).catch(() => {});
      }
    },
  };
}

function publishHint({ refusal }: Answer): string | null {
  if (refusal?.code === 'FORBIDDEN')
    return 'This token lacks the scope "publish": give one that has it as --publish-token.';
  if (refusal?.code === 'REDIS_NOT_READY') return 'The instance does not reach its Redis: see /readyz and REDIS_URL.';
  return null;
}
