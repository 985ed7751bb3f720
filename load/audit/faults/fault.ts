import type { Redis } from '../../../test/harness/redis.ts';
import type { Findings } from '../finding.ts';
import type { LogReader } from '../logs/log-reader.ts';
import type { Publisher } from '../publishers/publisher.ts';
import type { Random } from '../random.ts';
import type { Crowd } from '../readers/crowd.ts';
import type { Fleet } from '../service/fleet.ts';

/** Everything that is done to a running service. */
export const faultKinds = [
  'server-kill',
  'server-term',
  'server-freeze',
  'redis-freeze',
  'redis-restart',
  'redis-empty',
  'redis-rollback',
  'redis-kill-pubsub',
  'redis-kill-normal',
  'net-cut',
  'net-delay',
  'net-silence',
  'net-deaf',
  'pubsub-cut',
  'pubsub-silence',
  'slow-readers',
  'half-open',
  'storm',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface FaultContext {
  readonly fleet: Fleet;
  readonly redis: Redis;
  readonly log: LogReader;
  readonly crowd: Crowd;
  readonly bulk: { readonly topic: string; readonly publisher: Publisher };
  readonly findings: Findings;
  readonly random: Random;
  readonly signal: AbortSignal;
}

export interface FaultEnd {
  /** What was done, for the report. */
  readonly note: string;
  /** Puts right what the service must do without until it has recovered. */
  readonly after?: () => Promise<void>;
}

/** Does it, and gives when it has ended: from then on the service recovers. */
export type Fault = (context: FaultContext) => Promise<FaultEnd>;
