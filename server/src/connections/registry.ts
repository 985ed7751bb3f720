import { type Code, type ConnectionInfo, type ConnectionsPort, type Principal, UsherError } from '@usher/contracts';
import { type Control, createControl } from './control.ts';
import type { Answer, Question } from './control-message.ts';
import type { Selection } from './live.ts';
import { type Admission, type ConnectionHandle, createPlaces, type Lease, type PlacesOptions } from './places.ts';
import { createRevocations, type Revocation, type Revocations } from './revocations.ts';

export interface ConnectionRegistryOptions extends Omit<PlacesOptions, 'onEvictedElsewhere'> {
  /** Longest wait for the answers of other instances, in ms. @default 800 */
  readonly answerTimeoutMs?: number;
  /** What a connection closed by `disconnect` is told: nothing is wrong with its token. @default 'DRAINING' */
  readonly disconnectCode?: Code;
  /** How long a revocation is remembered, in ms; tokens MUST NOT live longer. @default 86400000 */
  readonly revocationTtlMs?: number;
  /** How often missed revocations are looked for, in ms. @default 5000 */
  readonly revocationSyncMs?: number;
  /** Told of each refused admission, for the metric. */
  readonly onRefused?: (code: Code) => void;
  /** @default Date.now */
  readonly now?: () => number;
}

/** Who asked for it, for the audit log. */
export type Actor = Pick<Principal, 'userId' | 'sessionId'>;

/**
 * Every connection of every instance, as far as limits and operators care.
 *
 * What instances hold is not copied to Redis: who lists asks them, since they alone know it, and since an answer is
 * needed anyway to say how many were disconnected. Redis keeps the leases that are counted, and what was revoked.
 */
export interface ConnectionRegistry extends ConnectionsPort {
  /** @throws UsherError CONNECTION_LIMIT, SESSION_REVOKED, DRAINING, or what the connection was closed with meanwhile */
  admit(admission: Admission, handle: ConnectionHandle): Promise<Lease>;
  disconnect(input: { readonly connectionId: string }, actor?: Actor): Promise<{ readonly disconnected: number }>;
  revoke(input: Selection, actor?: Actor): Promise<{ readonly disconnected: number }>;
  readonly revocations: Pick<Revocations, 'isRevoked' | 'loaded'>;
  /** Connections of this instance. */
  readonly size: number;
  /** Admits no more, gives all leases back and ends what runs; closes no connection. */
  close(): Promise<void>;
}

const sum = (answers: readonly Answer[]): number =>
  answers.reduce((total, { disconnected }) => total + disconnected, 0);

export function createConnectionRegistry(options: ConnectionRegistryOptions): ConnectionRegistry {
  const { instanceId, redis, log, timeoutMs, disconnectCode = 'DRAINING' } = options;

  const evictElsewhere = (connectionId: string): void =>
    control?.tell({ type: 'disconnect', connectionId, code: 'CONNECTION_LIMIT' });
  const places = createPlaces({ ...options, onEvictedElsewhere: evictElsewhere });

  /** Closes what a revocation ends. A user's connections that are newer than it are another login: they stay. */
  const apply = (revocation: Revocation): number => {
    let count = 0;
    for (const connection of [...places.select(revocation)]) {
      if (revocation.sessionId === undefined && connection.issuedAt > revocation.at) continue;
      if (places.shut(connection, 'SESSION_REVOKED')) count += 1;
    }
    return count;
  };

  const revocations = createRevocations({
    redis,
    log,
    onFound: apply,
    ttlMs: options.revocationTtlMs,
    syncMs: options.revocationSyncMs,
    timeoutMs,
    now: options.now,
  });

  const listHere = (selection: Selection, limit: number): ConnectionInfo[] => {
    const found: ConnectionInfo[] = [];
    for (const { info, state } of places.select(selection)) {
      if (found.length >= limit) break;
      if (state === 'live') found.push(info);
    }
    return found;
  };

  const answer = (question: Question): Answer => {
    switch (question.type) {
      case 'list':
        return { disconnected: 0, connections: listHere(question, question.limit) };
      case 'disconnect':
        return { disconnected: places.shut(places.get(question.connectionId), question.code) ? 1 : 0, connections: [] };
      case 'revoke':
        revocations.learn(question);
        return { disconnected: apply(question), connections: [] };
    }
  };

  const control: Control | null =
    redis && createControl({ redis, instanceId, answer, log, timeoutMs: options.answerTimeoutMs });
  const ask = async (question: Question): Promise<readonly Answer[]> => (control ? control.ask(question) : []);

  /** Writes down who did what, done or not. */
  const audited = async (entry: Record<string, unknown>, actor: Actor | undefined, act: () => Promise<number>) => {
    const by = { audit: true, ...entry, actor: actor && { userId: actor.userId, sessionId: actor.sessionId } };
    try {
      const disconnected = await act();
      log.info({ ...by, disconnected }, '[Audit]');
      return { disconnected };
    } catch (cause) {
      log.warn({ ...by, err: cause }, '[Audit] not carried out everywhere');
      throw cause;
    }
  };

  return {
    revocations,
    get size() {
      return places.size;
    },
    async admit(admission, handle) {
      try {
        const { principal, since, issuedAt = since } = admission;
        if (revocations.isRevoked(principal, issuedAt)) throw new UsherError('SESSION_REVOKED');
        return await places.take(admission, handle);
      } catch (cause) {
        if (cause instanceof UsherError) options.onRefused?.(cause.reason);
        throw cause;
      }
    },
    async list({ userId, sessionId, limit }) {
      const answers = await ask({ type: 'list', userId, sessionId, limit });
      const all = [...listHere({ userId, sessionId }, limit), ...answers.flatMap(({ connections }) => connections)];
      all.sort((one, other) => one.since - other.since);
      return { connections: all.slice(0, limit) };
    },
    disconnect({ connectionId }, actor) {
      return audited({ action: 'connection.disconnect', connectionId }, actor, async () => {
        if (places.shut(places.get(connectionId), disconnectCode)) return 1;
        return sum(await ask({ type: 'disconnect', connectionId, code: disconnectCode }));
      });
    },
    revoke({ userId, sessionId }, actor) {
      return audited({ action: 'session.revoke', userId, sessionId }, actor, async () => {
        const revocation = await revocations.revoke({ userId, sessionId });
        const here = apply(revocation);
        return here + sum(await ask({ type: 'revoke', ...revocation }));
      });
    },
    async close() {
      await Promise.all([places.close(), control?.close(), revocations.close()]);
    },
  };
}
