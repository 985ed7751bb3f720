import { checkRule, type RateLimiter } from './rate.ts';

export interface MemoryRateLimiterOptions {
  /** Most keys remembered; beyond them the one used longest ago is forgotten. @default 10000 */
  readonly maxKeys?: number;
  /** @default Date.now */
  readonly now?: () => number;
}

/** What was taken of one key, in slots from the oldest on. */
interface Taken {
  readonly slots: { readonly at: number; count: number }[];
}

/** Counts in this process alone. */
export function createMemoryRateLimiter(options: MemoryRateLimiterOptions = {}): RateLimiter {
  const { maxKeys = 10_000, now = Date.now } = options;
  // In the order of use, so that the first is the one to forget.
  const keys = new Map<string, Taken>();

  const use = (key: string): Taken => {
    const known = keys.get(key) ?? { slots: [] };
    keys.delete(key);
    keys.set(key, known);
    if (keys.size > maxKeys) {
      for (const oldest of keys.keys()) {
        keys.delete(oldest);
        break;
      }
    }
    return known;
  };

  return {
    async take(key, rule) {
      const { limit, windowMs, slotMs, cost, upTo } = checkRule(rule);
      const at = now();
      const { slots } = use(`${key}:${windowMs}`);
      const endsAt = (slot: number): number => (slot + 1) * slotMs + windowMs;
      while (slots[0] !== undefined && endsAt(slots[0].at) <= at) slots.shift();
      let used = 0;
      for (const slot of slots) used += slot.count;

      if (used + cost > limit) {
        for (const slot of slots) {
          used -= slot.count;
          if (used + cost <= limit) return { ok: false, retryAfterMs: endsAt(slot.at) - at, taken: 0 };
        }
      }
      const taken = Math.min(upTo, limit - used);
      const current = Math.floor(at / slotMs);
      const last = slots.at(-1);
      // A clock that was set back counts into the newest slot there is, which lives longer: never too little.
      if (last !== undefined && last.at >= current) last.count += taken;
      else slots.push({ at: current, count: taken });
      return { ok: true, retryAfterMs: 0, taken };
    },
  };
}
