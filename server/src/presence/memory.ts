import type { Member } from '@usher/contracts';
import { type PresenceLimits, type PresenceListener, type PresenceStore, presenceLimits } from './store.ts';

export interface MemoryPresenceOptions extends PresenceLimits {
  /** Called with each change, for those who hear of a topic otherwise. */
  readonly notify?: (topic: string, change: string) => void;
  /** @default Date.now */
  readonly now?: () => number;
}

interface User {
  count: number;
  since: number;
  info: string | undefined;
}

interface Topic {
  readonly connections: Map<string, { readonly userId: string; endsAt: number }>;
  readonly users: Map<string, User>;
}

const memberOf = (userId: string, { count, since, info }: User): Member => ({
  userId,
  connections: count,
  since,
  ...(info !== undefined && { info: JSON.parse(info) as unknown }),
});

/** Who is there, in this process. */
export function createMemoryPresence(options: MemoryPresenceOptions = {}): PresenceStore {
  const { notify = () => {}, now = Date.now } = options;
  const { leaseMs = presenceLimits.leaseMs, maxConnections = presenceLimits.maxConnections } = options;
  const topics = new Map<string, Topic>();
  const listeners = new Map<string, Set<PresenceListener>>();
  let sweptAt = now();

  /** One step: ends what is over, does `act`, and tells the difference. */
  const step = <T>(name: string, act: (topic: Topic, touch: (userId: string) => User) => T): T => {
    const topic = topics.get(name) ?? { connections: new Map(), users: new Map() };
    topics.set(name, topic);
    const before = new Map<string, number>();
    const touch = (userId: string): User => {
      const user = topic.users.get(userId) ?? { count: 0, since: 0, info: undefined };
      topic.users.set(userId, user);
      if (!before.has(userId)) before.set(userId, user.count);
      return user;
    };
    const at = now();
    for (const [connectionId, { endsAt }] of topic.connections) if (endsAt <= at) remove(topic, connectionId, touch);
    const result = act(topic, touch);

    const joined: Member[] = [];
    const left: Member[] = [];
    for (const [userId, count] of before) {
      const user = touch(userId);
      if (count === 0 && user.count > 0) joined.push(memberOf(userId, user));
      if (count > 0 && user.count === 0) left.push(memberOf(userId, user));
      if (user.count === 0) topic.users.delete(userId);
    }
    if (topic.connections.size === 0) topics.delete(name);
    if (joined.length + left.length > 0) tell(name, JSON.stringify({ joined, left }));
    return result;
  };

  const remove = (topic: Topic, connectionId: string, touch: (userId: string) => User): void => {
    const connection = topic.connections.get(connectionId);
    if (!connection) return;
    topic.connections.delete(connectionId);
    touch(connection.userId).count -= 1;
  };

  const tell = (topic: string, change: string): void => {
    notify(topic, change);
    for (const listener of [...(listeners.get(topic) ?? [])]) listener(change);
  };

  /** Topics that nobody asks about any more must not stay: Redis has a time to live for that. */
  const sweep = (): void => {
    if (now() - sweptAt < leaseMs) return;
    sweptAt = now();
    for (const name of [...topics.keys()]) step(name, () => {});
  };

  return {
    ready: true,
    async hold(name, connections) {
      const nextEndMs = step(name, (topic, touch) => {
        const at = now();
        for (const { connectionId, userId, since, info } of connections) {
          const known = topic.connections.get(connectionId);
          if (known?.userId === userId) {
            known.endsAt = at + leaseMs;
            continue;
          }
          remove(topic, connectionId, touch);
          if (topic.connections.size >= maxConnections) continue;
          topic.connections.set(connectionId, { userId, endsAt: at + leaseMs });
          const user = touch(userId);
          if (user.count === 0 || since < user.since) user.since = since;
          if (user.count === 0 || info !== undefined) user.info = info;
          user.count += 1;
        }
        let first = Number.POSITIVE_INFINITY;
        for (const { endsAt } of topic.connections.values()) first = Math.min(first, endsAt);
        return topic.connections.size === 0 ? null : first - at;
      });
      sweep();
      return nextEndMs;
    },
    async leave(name, connectionIds) {
      step(name, (topic, touch) => {
        for (const connectionId of connectionIds) remove(topic, connectionId, touch);
      });
    },
    async list(name) {
      return step(name, (topic) =>
        [...topic.users]
          .filter(([, user]) => user.count > 0)
          .map(([userId, user]) => memberOf(userId, user))
          .sort((one, other) => one.since - other.since),
      );
    },
    async listen(topic, listener) {
      const known = listeners.get(topic);
      if (known) known.add(listener);
      else listeners.set(topic, new Set([listener]));
    },
    unlisten(topic, listener) {
      const known = listeners.get(topic);
      known?.delete(listener);
      if (known?.size === 0) listeners.delete(topic);
    },
    onReturn: () => () => {},
  };
}
