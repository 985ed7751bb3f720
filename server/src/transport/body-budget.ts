import { UsherError } from '@usher/contracts';

export interface BodyBudgetOptions {
  /** Bytes of bodies that may be on their way to this instance at once, without the small ones. @default 268435456 */
  readonly maxBytes?: number;
  /** Of these, one user's. @default 67108864 */
  readonly maxBytesPerUser?: number;
}

/** Bounds what bodies that are being read take of the memory. */
export interface BodyBudget {
  /** Takes a body's share; gives the way to return it. @throws UsherError RATE_LIMITED */
  take(userId: string, bytes: number): () => void;
}

const retryAfterMs = 1_000;

export function createBodyBudget(options: BodyBudgetOptions = {}): BodyBudget {
  const { maxBytes = 268_435_456, maxBytesPerUser = 67_108_864 } = options;
  const users = new Map<string, number>();
  let total = 0;

  return {
    take(userId, bytes) {
      const own = users.get(userId) ?? 0;
      if (own + bytes > maxBytesPerUser || total + bytes > maxBytes) {
        throw new UsherError('RATE_LIMITED', { message: 'Too many large bodies are on their way', retryAfterMs });
      }
      users.set(userId, own + bytes);
      total += bytes;
      return () => {
        total -= bytes;
        const left = (users.get(userId) ?? bytes) - bytes;
        if (left > 0) users.set(userId, left);
        else users.delete(userId);
      };
    },
  };
}
