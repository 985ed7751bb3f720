import {
  badRequest,
  type CloseInput,
  type CreateInput,
  type Principal,
  type Published,
  type PublishedMany,
  type PublishInput,
  type PublishManyInput,
  UsherError,
} from '@usher/contracts';
import type { Hub } from '../hub/hub.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { RedisAwayError } from '../redis/connection.ts';
import { refuseAway } from './away.ts';
import type { Definitions, ResolvedTopic } from './definitions.ts';
import type { AppendEntry, AppendRequest, AppendResult, TopicLog } from './log.ts';
import { eventTail, type PayloadLimits, stateJson } from './payload.ts';

export interface PublisherOptions {
  readonly log: TopicLog;
  readonly hub: Hub;
  readonly definitions: Definitions;
  readonly limits: PayloadLimits;
  readonly metrics: Metrics;
  /** Takes `cost` publishes of a user's rate. @throws UsherError RATE_LIMITED */
  readonly admit: (principal: Principal, cost: number) => Promise<void>;
}

export interface Publisher {
  create(input: CreateInput): Promise<{ readonly position: string; readonly created: boolean }>;
  delete(input: { readonly topic: string }): Promise<{ readonly deleted: boolean }>;
  publish(principal: Principal, input: PublishInput): Promise<Published>;
  publishMany(principal: Principal, input: PublishManyInput): Promise<PublishedMany>;
  close(input: CloseInput): Promise<{ readonly position: string }>;
}

type Appended = Extract<AppendResult, { outcome: 'appended' }>;

const accepted = (result: AppendResult): Appended => {
  if (result.outcome === 'appended') return result;
  if (result.outcome === 'closed') throw new UsherError('TOPIC_CLOSED');
  if (result.outcome === 'unknown') throw new UsherError('TOPIC_UNKNOWN');
  throw badRequest('owner', 'The topic has another owner');
};

/** The writing half of topics: everything that appends, makes or ends one. */
export function createPublisher(options: PublisherOptions): Publisher {
  const { log, hub, definitions, limits, metrics } = options;

  const append = async (topic: string, request: AppendRequest): Promise<Appended> => {
    try {
      const appended = accepted(await log.append(topic, request));
      metrics.eventsIn.labels('appended').inc(appended.duplicates.filter((duplicate) => !duplicate).length);
      return appended;
    } catch (error) {
      if (request.entries.length > 0) {
        metrics.eventsIn.labels(error instanceof RedisAwayError ? 'away' : 'refused').inc(request.entries.length);
      }
      throw error;
    }
  };

  const isTerminal = ({ definition }: ResolvedTopic, name: string): boolean => definition.terminal.includes(name);

  /** Appends, or, where the publisher prefers delivery to truth and the log is away, tells this instance's subscribers. */
  const publishAll = async (
    resolved: ResolvedTopic,
    entries: readonly AppendEntry[],
    input: Pick<PublishManyInput, 'state' | 'owner' | 'durable'> & { readonly terminal: boolean },
  ): Promise<PublishedMany> => {
    const request: AppendRequest = {
      entries,
      state: stateJson(resolved, input.state, limits),
      owner: input.owner,
      mode: input.terminal ? 'publish-close' : 'publish',
    };
    try {
      const { positions, duplicates } = await append(resolved.topic, request);
      return { positions, duplicates, durable: true };
    } catch (error) {
      // An answer that did not come may be an append that was made: telling it locally, too, would show it twice.
      if (input.durable || !(error instanceof RedisAwayError) || error.ambiguous) return refuseAway(error);
      for (const entry of entries) hub.deliverLocal(resolved.topic, entry.tail);
      metrics.eventsIn.labels('local').inc(entries.length);
      return { positions: entries.map(() => null), duplicates: entries.map(() => false), durable: false };
    }
  };

  return {
    async create({ topic, owner, state }) {
      const resolved = definitions.resolve(topic);
      const request = { entries: [], state: stateJson(resolved, state, limits), owner, mode: 'create' } as const;
      const { last, created } = await append(topic, request).catch(refuseAway);
      return { position: last, created };
    },

    async delete({ topic }) {
      definitions.resolve(topic);
      return { deleted: await log.delete(topic).catch(refuseAway) };
    },

    async publish(principal, { topic, event, idempotencyKey, ...rest }) {
      const resolved = definitions.resolve(topic);
      const tail = eventTail(resolved, event, 'event', limits);
      await options.admit(principal, 1);
      const published = await publishAll(resolved, [{ tail, idempotencyKey }], {
        ...rest,
        terminal: isTerminal(resolved, event.name),
      });
      return {
        position: published.positions[0] ?? null,
        durable: published.durable,
        duplicate: published.duplicates[0] ?? false,
      };
    },

    async publishMany(principal, { topic, events, ...rest }) {
      const resolved = definitions.resolve(topic);
      const early = events.slice(0, -1).findIndex((event) => isTerminal(resolved, event.name));
      if (early !== -1) {
        throw badRequest(`events.${early}.name`, `Wanted "${events[early]?.name}" last: it closes the topic`);
      }
      const entries = events.map((event, at) => ({
        tail: eventTail(resolved, event, `events.${at}`, limits),
        idempotencyKey: event.idempotencyKey,
      }));
      await options.admit(principal, entries.length);
      return publishAll(resolved, entries, { ...rest, terminal: isTerminal(resolved, events.at(-1)?.name ?? '') });
    },

    async close({ topic, event, state }) {
      const resolved = definitions.resolve(topic);
      const entries = event ? [{ tail: eventTail(resolved, event, 'event', limits), idempotencyKey: undefined }] : [];
      const request = { entries, state: stateJson(resolved, state, limits), owner: undefined, mode: 'close' } as const;
      const { last } = await append(topic, request).catch(refuseAway);
      return { position: last };
    },
  };
}
