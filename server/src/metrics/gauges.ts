import type { Check, HealthPort } from '@usher/contracts';
import type { DeliveryProbe } from '../health/delivery-probe.ts';
import type { MemoryWatch } from '../health/memory-watch.ts';
import type { RedisConnection } from '../redis/connection.ts';
import type { InFlight } from '../transport/in-flight.ts';
import type { Metrics } from './metrics.ts';

export interface GaugeSources {
  readonly health: HealthPort;
  readonly redis: RedisConnection | null;
  readonly probe: DeliveryProbe | null;
  readonly memory: MemoryWatch | null;
  readonly inFlight: InFlight;
}

/** Sets, at each scrape, what is a state and not a count. Gives the way to stop. */
export function setGauges(metrics: Metrics, { health, redis, probe, memory, inFlight }: GaugeSources): () => void {
  return metrics.onScrape(() => {
    for (const [name, check] of Object.entries(health.ready().checks)) {
      metrics.checkOk.labels(name).set(asNumber(check.ok));
      metrics.checkWarning.labels(name).set(asNumber(hasWarning(check)));
    }
    metrics.callsInFlight.set(inFlight.count);
    if (redis) {
      metrics.redisUp.labels('commands').set(asNumber(redis.state === 'ready'));
      metrics.redisUp.labels('delivery').set(asNumber(redis.delivery === 'ready'));
    }
    if (probe?.ageMs != null) metrics.probeAgeSeconds.set(probe.ageMs / 1_000);
    if (memory?.usedBytes != null) metrics.redisMemory.labels('used').set(memory.usedBytes);
    if (memory?.maxBytes != null) metrics.redisMemory.labels('allowed').set(memory.maxBytes);
  });
}

const asNumber = (value: boolean): number => (value ? 1 : 0);
const hasWarning = (check: Check): boolean => check.warning !== undefined;
