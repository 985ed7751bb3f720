import { type Redis, type RedisOptions, startRedis } from './redis.ts';
import { eventually } from './wait.ts';

export interface Replica extends Redis {
  /** Makes it a primary of its own, as a failover would. */
  readonly promote: () => Promise<void>;
}

/** Starts a replica of a Redis and waits until it is in step. */
export async function startReplica(primary: Redis, options: RedisOptions = {}): Promise<Replica> {
  const flags = ['--replicaof', `127.0.0.1 ${primary.port}`];
  const replica = await startRedis({ ...options, flags: [...flags, ...(options.flags ?? [])] });
  await eventually(async () => String(await replica.command('INFO', 'replication')).includes('master_link_status:up'), {
    what: 'the replica to be in step',
  });
  return {
    ...replica,
    promote: async () => {
      await replica.command('REPLICAOF', 'NO', 'ONE');
    },
  };
}
