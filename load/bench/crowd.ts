import { within } from '../../test/harness/wait.ts';
import type { Order, Report, Seat } from './subscriber-worker.ts';

/** Nothing in a bench may be waited for longer. */
const patienceMs = 60_000;

/** Subscribers of one server, spread over threads. */
export interface Crowd {
  readonly size: number;
  /** Adds subscribers; settles when all of them are subscribed. */
  seat(seats: readonly Seat[]): Promise<void>;
  /** Runs `publish`, and settles when every subscriber, or on one thread their average, has `each` messages more. */
  receive(each: number, publish: () => Promise<unknown>): Promise<void>;
  leave(): Promise<void>;
}

export interface Threads extends Disposable {
  /** @param spread threads the crowd is seated on; by default all */
  crowd(name: string, spread?: number): Crowd;
}

/** Threads for the reading side: with one, that side would be slower than the server it reads from. */
export function startThreads(count = 2): Threads {
  const workers = Array.from({ length: count }, () => new Worker(new URL('./subscriber-worker.ts', import.meta.url)));
  const failure = Promise.withResolvers<never>();
  // Whoever waits is told; when nobody waits the next one is.
  failure.promise.catch(() => {});
  const waiting = new Map<string, () => void>();
  workers.forEach((worker, thread) => {
    worker.onmessage = ({ data }: MessageEvent<Report>) => {
      if (data.type === 'failed') return failure.reject(new Error(data.message));
      waiting.get(`${data.type} ${data.crowd} ${thread}`)?.();
    };
    worker.onerror = ({ message }) => failure.reject(new Error(message));
  });

  const report = (type: Report['type'], crowd: string, thread: number): Promise<void> => {
    const key = `${type} ${crowd} ${thread}`;
    const done = new Promise<void>((resolve) => waiting.set(key, resolve)).finally(() => waiting.delete(key));
    return within(Promise.race([done, failure.promise]), { timeoutMs: patienceMs, what: `"${key}"` });
  };
  const order = (thread: number, message: Order): void => workers[thread]?.postMessage(message);

  const crowd = (name: string, spread = count): Crowd => {
    const used = Array.from({ length: spread }, (_, thread) => thread);
    const sizes = used.map(() => 0);
    const expected = used.map(() => 0);
    return {
      get size() {
        return sizes.reduce((sum, size) => sum + size, 0);
      },
      async seat(seats) {
        const shares = used.map((thread) => seats.filter((_seat, at) => at % spread === thread));
        const connected = shares.map((share, thread) => {
          sizes[thread] = (sizes[thread] ?? 0) + share.length;
          order(thread, { type: 'connect', crowd: name, seats: share });
          return report('connected', name, thread);
        });
        await Promise.all(connected);
      },
      async receive(each, publish) {
        const arrived = used.map((thread) => {
          expected[thread] = (expected[thread] ?? 0) + each * (sizes[thread] ?? 0);
          order(thread, { type: 'expect', crowd: name, messages: expected[thread] });
          return report('arrived', name, thread);
        });
        await Promise.all([publish(), ...arrived]);
      },
      async leave() {
        await Promise.all(
          used.map((thread) => {
            order(thread, { type: 'leave', crowd: name });
            return report('left', name, thread);
          }),
        );
      },
    };
  };
  return {
    crowd,
    [Symbol.dispose]: () => {
      for (const worker of workers) worker.terminate();
    },
  };
}
