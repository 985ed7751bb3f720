import type { Check, HealthPort } from '@usher/contracts';

export interface HealthOptions {
  readonly version: string;
  readonly instanceId: string;
  /** Each gives its state at once; what takes time is measured elsewhere and remembered. */
  readonly checks: Readonly<Record<string, () => Check>>;
}

/** Health that waits for nothing: an answer that comes late is itself a lie. */
export function createHealth({ version, instanceId, checks }: HealthOptions): HealthPort {
  return {
    live: () => ({ status: 'ok', version, instanceId }),
    ready() {
      const results = Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check()]));
      const ok = Object.values(results).every((result) => result.ok);
      return { status: ok ? 'ok' : 'unavailable', checks: results, version, instanceId };
    },
  };
}
