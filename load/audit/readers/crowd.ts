import { mintToken } from '../../../test/harness/tokens.ts';
import type { Findings } from '../finding.ts';
import type { Random } from '../random.ts';
import type { Fleet } from '../service/fleet.ts';
import { type Relay, startRelay } from '../service/relay.ts';
import { startPoller } from './poller.ts';
import { Reading } from './reading.ts';
import { type Subscriber, startSubscriber } from './subscriber.ts';
import { startTypedSubscriber } from './typed-subscriber.ts';

export interface CrowdOptions {
  readonly fleet: Fleet;
  /** A load balancer before it. */
  readonly balancer: Relay;
  readonly size: number;
  /** Busy topics, each followed by a share of all. */
  readonly hot: readonly string[];
  /** Quiet topics, each followed by a few. */
  readonly cool: readonly string[];
  /** A topic of large events. */
  readonly bulk: string;
  readonly jobSlots: number;
  readonly random: Random;
  readonly findings: Findings;
}

/** Everybody who reads. */
export interface Crowd extends AsyncDisposable {
  /** What is read from the beginning to the end. */
  readonly readings: readonly Reading[];
  /** The network some of the sockets come by. */
  readonly network: Relay;
  /** What typed clients, and workers, come by. */
  readonly balancer: Relay;
  readonly connects: number;
  /** How often typed clients went over to polling, and came back. */
  readonly fallbacks: { readonly gone: number; readonly returned: number };
  readonly sizes: { readonly sockets: number; readonly pollers: number; readonly typed: number };
  /** Sockets of which a topic is not served, or told to be degraded. */
  readonly unserved: readonly string[];
  /** Those of a slot follow its next job. */
  followJob(slot: number, topic: string): readonly Reading[];
  leaveJob(readings: readonly Reading[]): void;
  /** Every socket is lost in one moment, and every one comes back at once. */
  cutAll(): void;
}

/** A token outlives the longest run. */
const tokenSeconds = 100_000;
/** Users the readers are spread over. */
const users = 50;

export async function gatherCrowd(options: CrowdOptions): Promise<Crowd> {
  const { fleet, balancer, size, hot, cool, bulk, jobSlots, findings } = options;
  const random = options.random.fork('crowd');
  const leaving = new AbortController();
  const { signal } = leaving;
  const tokens = await Promise.all(
    Array.from({ length: users }, (_, at) =>
      mintToken({ userId: `reader-${at}`, topics: ['job:*'], expiresInSeconds: tokenSeconds }),
    ),
  );
  const network = await startRelay({ target: () => fleet.any(random).port });
  const readings: Reading[] = [];
  const subscribers: Subscriber[] = [];
  const bySlot = new Map<number, Subscriber[]>();
  const jobReaders = new Map<Reading, Subscriber>();
  const fallbacks = { gone: 0, returned: 0 };
  const sizes = { sockets: 0, pollers: 0, typed: 0 };

  const reading = (topic: string, who: string, overlaps = false): Reading => {
    const made = new Reading(topic, who, { findings, overlaps });
    readings.push(made);
    return made;
  };

  const addSocket = (who: string, token: string, own: Random): void => {
    sizes.sockets += 1;
    const slow = own.chance(0.15);
    const subscriber = startSubscriber({
      name: who,
      fleet,
      token,
      random: own,
      network: slow ? network : null,
      byHeader: own.chance(0.1),
      history: own.chance(0.3) ? own.int(1, 10) : 0,
      signal,
    });
    subscribers.push(subscriber);
    for (const topic of topicsOf(own, slow)) subscriber.follow(reading(topic, who));
    if (jobSlots === 0 || !own.chance(0.3)) return;
    const slot = own.int(0, jobSlots - 1);
    bySlot.set(slot, [...(bySlot.get(slot) ?? []), subscriber]);
  };

  const topicsOf = (own: Random, slow: boolean): readonly string[] => {
    const topics = own.shuffle(cool).slice(0, own.int(1, 3));
    if (own.chance(0.85)) topics.push(own.pick(hot));
    if (own.chance(slow ? 0.2 : 0.02)) topics.push(bulk);
    return topics;
  };

  const addTyped = (who: string, token: string, own: Random): void => {
    sizes.typed += 1;
    const topics = [own.pick(hot), own.pick(cool)];
    startTypedSubscriber({
      url: `http://127.0.0.1:${balancer.port}`,
      token,
      random: own,
      readings: topics.map((topic) => reading(topic, who, true)),
      signal,
      onFallback() {
        fallbacks.gone += 1;
      },
      onRestore() {
        fallbacks.returned += 1;
      },
      onError: (failed, code) => findings.add('protocol', failed, `the typed client gave up: ${code}`),
    });
  };

  for (let at = 0; at < size; at += 1) {
    const own = random.fork(`reader-${at}`);
    const token = tokens[at % users] as string;
    if (at % 25 === 7) {
      sizes.pollers += 1;
      const topic = own.chance(0.5) ? own.pick(hot) : own.pick(cool);
      startPoller({ fleet, token, random: own, reading: reading(topic, `poller-${at}`), signal });
    } else if (at % 15 === 3) addTyped(`typed-${at}`, token, own);
    else addSocket(`socket-${at}`, token, own);
  }

  return {
    readings,
    network,
    balancer,
    sizes,
    fallbacks,
    get connects() {
      return subscribers.reduce((sum, { connects }) => sum + connects, 0);
    },
    get unserved() {
      return subscribers.filter(({ isLive }) => !isLive).map(({ name }) => name);
    },
    followJob(slot, topic) {
      return (bySlot.get(slot) ?? []).map((subscriber, at) => {
        const job = new Reading(topic, `job-reader-${slot}-${at}`, { findings });
        jobReaders.set(job, subscriber);
        subscriber.follow(job);
        return job;
      });
    },
    leaveJob(left) {
      for (const job of left) {
        jobReaders.get(job)?.leave(job);
        jobReaders.delete(job);
      }
    },
    cutAll() {
      for (const subscriber of subscribers) subscriber.cut();
      balancer.drop();
    },
    async [Symbol.asyncDispose]() {
      leaving.abort();
      await network[Symbol.asyncDispose]();
    },
  };
}
