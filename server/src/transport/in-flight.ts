import { isHealthPath } from '../health/answer.ts';
import type { Handle } from './http.ts';

/** The calls this instance is answering: what a drain waits for. */
export interface InFlight {
  readonly count: number;
  /** When the last call came or was answered, by `now`; `null` before the first. */
  readonly lastAt: number | null;
  /** Counts what goes through, health and metrics apart: those who ask for them ask to the end. */
  wrap(handle: Handle): Handle;
}

export interface InFlightOptions {
  /** From then on each answer ends its connection: the next call of a client that keeps one goes elsewhere. */
  readonly isLeaving: () => boolean;
  /** @default Date.now */
  readonly now?: () => number;
}

/** The path of a whole url, or of what Bun gives where a request names no host: a bare path. */
const pathOf = (url: string): string => /^(?:\w+:\/\/[^/]*)?([^?#]*)/.exec(url)?.[1] ?? '';

const isWatcher = (url: string): boolean => {
  const path = pathOf(url);
  return path === '/metrics' || isHealthPath(path);
};

export function createInFlight({ isLeaving, now = Date.now }: InFlightOptions): InFlight {
  let count = 0;
  let lastAt: number | null = null;
  return {
    get count() {
      return count;
    },
    get lastAt() {
      return lastAt;
    },
    wrap: (handle) => async (request, peer) => {
      if (isWatcher(request.url)) return handle(request, peer);
      count += 1;
      lastAt = now();
      try {
        const answer = await handle(request, peer);
        if (answer instanceof Response && isLeaving()) answer.headers.set('Connection', 'close');
        return answer;
      } finally {
        count -= 1;
        lastAt = now();
      }
    },
  };
}
