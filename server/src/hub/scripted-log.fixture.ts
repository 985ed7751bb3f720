import { RedisAwayError } from '../redis/connection.ts';
import type { LiveListener, LiveMessage, TopicLog } from '../topics/log.ts';
import type { MemoryLog } from '../topics/memory.ts';

type Method = 'append' | 'read' | 'snapshot' | 'range' | 'head' | 'delete' | 'listen' | 'listenAgain';

/** A call that the test holds. */
export interface Hold {
  /** Settles when the call has come. */
  readonly reached: Promise<void>;
  release(): void;
  fail(cause?: unknown): void;
}

interface Holding extends Hold {
  /** Whether the log is asked before the call is held, so that its answer is old when it comes. */
  readonly asked: boolean;
  readonly gate: Promise<void>;
  arrive(): void;
}

export interface Flying {
  readonly topic: string;
  readonly message: LiveMessage;
}

/**
 * The log in memory as a network shows it: live messages that fly until the test delivers, loses, doubles or swaps them,
 * and calls that are held, old when they are answered, or refused.
 */
export function createScriptedLog(memory: MemoryLog) {
  const listeners = new Map<string, Set<LiveListener>>();
  const holds = new Map<Method, Holding[]>();
  const calls = new Map<Method, number>();
  /** Live messages that have not arrived, oldest first. */
  const flying: Flying[] = [];
  let mode: 'at once' | 'held' = 'at once';
  let away = false;

  const deliver = ({ topic, message }: Flying): void => {
    for (const listener of [...(listeners.get(topic) ?? [])]) listener(message);
  };
  const relays = new Map<string, LiveListener>();

  const call = async <T>(method: Method, ask: () => Promise<T>): Promise<T> => {
    calls.set(method, (calls.get(method) ?? 0) + 1);
    const hold = holds.get(method)?.shift();
    const refuse = (): void => {
      if (away) throw new RedisAwayError('Away, as the test asked', { ambiguous: false });
    };
    refuse();
    if (hold === undefined) return ask();
    const early = hold.asked ? await ask() : undefined;
    hold.arrive();
    await hold.gate;
    if (hold.asked) return early as T;
    refuse();
    return ask();
  };

  const log: TopicLog = {
    append: (topic, request) => call('append', () => memory.append(topic, request)),
    read: (topic, after, page) => call('read', () => memory.read(topic, after, page)),
    snapshot: (topic, options) => call('snapshot', () => memory.snapshot(topic, options)),
    range: (topic, request) => call('range', () => memory.range(topic, request)),
    head: (topic) => call('head', () => memory.head(topic)),
    delete: (topic) => call('delete', () => memory.delete(topic)),
    listenAgain: (topic) => call('listenAgain', async () => memory.listenAgain(topic)),
    listen: (topic, listener) =>
      call('listen', async () => {
        const known = listeners.get(topic) ?? new Set();
        listeners.set(topic, known.add(listener));
        if (relays.has(topic)) return;
        const relay = (message: LiveMessage): void => {
          if (mode === 'held') flying.push({ topic, message });
          else deliver({ topic, message });
        };
        relays.set(topic, relay);
        await memory.listen(topic, relay);
      }),
    unlisten(topic, listener) {
      listeners.get(topic)?.delete(listener);
      if (listeners.get(topic)?.size === 0) listeners.delete(topic);
    },
  };

  return {
    ...log,
    memory,
    flying,
    /** How many listen to anything. */
    get listening(): number {
      return [...listeners.values()].reduce((sum, set) => sum + set.size, 0);
    },
    calls: (method: Method): number => calls.get(method) ?? 0,
    /** The next call of this method waits; `asked`: with the answer it got when it came. */
    hold(method: Method, asked = false): Hold {
      const gate = Promise.withResolvers<void>();
      const reached = Promise.withResolvers<void>();
      const hold: Holding = {
        asked,
        gate: gate.promise,
        reached: reached.promise,
        arrive: reached.resolve,
        release: gate.resolve,
        fail: (cause = new RedisAwayError('Lost, as the test asked', { ambiguous: true })) => gate.reject(cause),
      };
      gate.promise.catch(() => {});
      holds.set(method, [...(holds.get(method) ?? []), hold]);
      return hold;
    },
    /** Forgets the holds that nobody has come to. */
    disarm(): void {
      holds.clear();
    },
    setAway(next: boolean): void {
      away = next;
    },
    /** From now on live messages fly until they are delivered. */
    holdLive(): void {
      mode = 'held';
    },
    /** Delivers what flies, and from now on at once. */
    passLive(): void {
      mode = 'at once';
      for (const message of flying.splice(0)) deliver(message);
    },
    /** Delivers one message that flies, the oldest unless one is named; it goes on flying where it is to come twice. */
    deliver(at = 0, twice = false): void {
      const message = twice ? flying[at] : flying.splice(at, 1)[0];
      if (message !== undefined) deliver(message);
    },
    lose(count = flying.length): void {
      flying.splice(0, count);
    },
    /** Gives a listener a message that no append has made. */
    say(topic: string, message: LiveMessage): void {
      deliver({ topic, message });
    },
  };
}

export type ScriptedLog = ReturnType<typeof createScriptedLog>;
