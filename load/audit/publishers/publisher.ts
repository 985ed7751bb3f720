import type { Code, Published, PublishedMany } from '@usher/contracts';
import { call, pause } from '../call.ts';
import type { Findings } from '../finding.ts';
import type { Random } from '../random.ts';
import type { Fleet } from '../service/fleet.ts';
import type { Promises } from './promises.ts';

export interface PublisherOptions {
  /** Stands in front of every key; the number of the event follows. */
  readonly id: string;
  readonly fleet: Fleet;
  readonly token: string;
  readonly random: Random;
  readonly promises: Promises;
  readonly findings: Findings;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

export interface Publication {
  readonly topic: string;
  /** The events, without their keys. */
  readonly events: readonly { readonly name: string; readonly data: Readonly<Record<string, unknown>> }[];
  /** Publishes a state that names the last event. @default false */
  readonly withState?: boolean;
  /** @default true */
  readonly durable?: boolean;
}

export interface Publisher {
  /** The key of the latest event. */
  readonly lastKey: string;
  /** Publishes under keys of its own until it is answered; gives the last position, `null` where there is none. */
  publish(publication: Publication): Promise<string | null>;
}

/** Codes after which the same request would be refused again. */
const final: readonly (Code | 'NETWORK')[] = ['BAD_REQUEST', 'PAYLOAD_TOO_LARGE', 'FORBIDDEN', 'UNAUTHORIZED'];

/** Longer than a server takes to tell that Redis gave no answer. */
const timeoutMs = 8_000;

/** A publisher as the documentation wants it: a key for each event, and the same again until there is an answer. */
export function createPublisher(options: PublisherOptions): Publisher {
  const { id, fleet, token, random, promises, findings, signal } = options;
  let count = 0;

  const keep = (topic: string, keys: readonly string[], answer: PublishedMany): void => {
    answer.positions.forEach((position, at) => {
      if (position === null) promises.promiseLocal();
      else promises.promise(topic, position, keys[at] ?? '');
    });
  };

  return {
    get lastKey() {
      return `${id}.${count}`;
    },
    async publish({ topic, events, withState = false, durable = true }) {
      const keys = events.map(() => {
        count += 1;
        return `${id}.${count}`;
      });
      const keyed = events.map(({ name, data }, at) => ({ name, data: { ...data, k: keys[at] } }));
      // Told in the event, too, so that each state can be compared with the position it came with.
      if (withState) Object.assign(keyed.at(-1)?.data ?? {}, { s: 1 });
      const shared = { topic, durable, ...(withState && { state: { k: keys.at(-1) } }) };
      const single = keyed.length === 1;
      const path = single ? 'topic.publish' : 'topic.publishMany';
      const body = JSON.stringify(
        single
          ? { ...shared, event: keyed[0], idempotencyKey: keys[0] }
          : { ...shared, events: keyed.map((event, at) => ({ ...event, idempotencyKey: keys[at] })) },
      );
      while (!signal.aborted) {
        const { url } = fleet.any(random);
        const answer = await call<Published & PublishedMany>(`${url}/trpc/${path}`, {
          method: 'POST',
          token,
          body,
          timeoutMs,
          signal,
        });
        if (answer.data !== undefined) {
          const { data } = answer;
          const many = single ? { ...data, positions: [data.position], duplicates: [data.duplicate] } : data;
          keep(topic, keys, many);
          return many.positions.at(-1) ?? null;
        }
        if (answer.code === 'TOPIC_CLOSED') return null;
        if (final.includes(answer.code)) {
          findings.add('protocol', { topic, who: id }, `a publish was refused: ${answer.code}`);
          return null;
        }
        await pause(random.between(20, 300), signal);
      }
      return null;
    },
  };
}
