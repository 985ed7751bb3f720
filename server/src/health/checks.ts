import type { Check } from '@usher/contracts';
import type { Availability } from '../hub/hub.ts';
import type { Leaving } from '../leaving.ts';
import type { RedisConnection } from '../redis/connection.ts';
import type { DeliveryProbe } from './delivery-probe.ts';
import type { EventLoop } from './event-loop.ts';
import type { MemoryWatch } from './memory-watch.ts';

export interface ChecksOptions {
  /** `null`: memory, and then the two after it are too. */
  readonly redis: RedisConnection | null;
  readonly probe: DeliveryProbe | null;
  readonly memory: MemoryWatch | null;
  readonly availability: Availability;
  readonly leaving: Pick<Leaving, 'since'>;
  readonly eventLoop: EventLoop;
  /** WebSocket connections of this instance, and how many it takes. */
  readonly connections: () => number;
  readonly maxConnections: number;
}

/** A timer that is later than this belongs to an instance that serves nobody in time. */
const maxLagMs = 5_000;

const nearlyFull = 0.9;

/** What `/readyz` looks at, by name. Each answers from what is known at this moment. */
export function createChecks(options: ChecksOptions): Readonly<Record<string, () => Check>> {
  const { redis, probe, memory, availability, leaving, eventLoop, maxConnections } = options;
  return {
    redis: () =>
      redis ? { ok: redis.state === 'ready', mode: 'redis' } : { ok: availability.available, mode: 'memory' },
    delivery: () => {
      if (probe === null) return { ok: true, mode: 'memory' };
      const { ok, ageMs, reason } = probe;
      return { ok, ageMs: ageMs === null ? null : Math.round(ageMs), ...(!ok && reason !== null && { reason }) };
    },
    draining: () => (leaving.since === null ? { ok: true } : { ok: false, since: leaving.since }),
    eventLoop: () => ({ ok: eventLoop.lagMs < maxLagMs, lagMs: Math.round(eventLoop.lagMs) }),
    // Warns and never fails: who takes a full instance out takes its publishes and polls, too, and the last one that is
    // taken out is an outage. Upgrades are refused by themselves.
    limits: () => {
      const connections = options.connections();
      const isNear = connections >= maxConnections * nearlyFull;
      const warning = `${connections} of ${maxConnections} connections: at the limit upgrades are refused`;
      return { ok: true, connections, maxConnections, ...(isNear && { warning }) };
    },
    eviction: () => memory?.check() ?? { ok: true, mode: 'memory' },
  };
}
