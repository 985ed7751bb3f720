import { pause } from '../call.ts';
import { halfOpen, stallReaders, storm } from './client-faults.ts';
import type { Fault, FaultContext, FaultEnd, FaultKind } from './fault.ts';
import { cutNetwork, cutPubSub, deafenNetwork, delayNetwork, silenceNetwork, silencePubSub } from './network-faults.ts';
import { emptyRedis, freezeRedis, killNormal, killPubSub, restartRedis, rollBackRedis } from './redis-faults.ts';
import { endServer, freezeServer, killServer } from './server-faults.ts';

const faults: Readonly<Record<FaultKind, Fault>> = {
  'server-kill': killServer,
  'server-term': endServer,
  'server-freeze': freezeServer,
  'redis-freeze': freezeRedis,
  'redis-restart': restartRedis,
  'redis-empty': emptyRedis,
  'redis-rollback': rollBackRedis,
  'redis-kill-pubsub': killPubSub,
  'redis-kill-normal': killNormal,
  'net-cut': cutNetwork,
  'net-delay': delayNetwork,
  'net-silence': silenceNetwork,
  'net-deaf': deafenNetwork,
  'pubsub-cut': cutPubSub,
  'pubsub-silence': silencePubSub,
  'slow-readers': stallReaders,
  'half-open': halfOpen,
  storm,
};

/** The one thing that two faults at once must not both lay hands on. */
const areaOf = (kind: FaultKind): string =>
  kind.startsWith('server')
    ? 'server'
    : kind === 'slow-readers' || kind === 'half-open'
      ? 'clients'
      : kind === 'storm'
        ? 'storm'
        : 'redis';

export interface ScheduleOptions {
  readonly kinds: readonly FaultKind[];
  readonly context: FaultContext;
  /** Share of faults that come two at a time. */
  readonly pairShare: number;
  /** Waits until all is well again. */
  readonly recovered: (kinds: readonly FaultKind[]) => Promise<void>;
  readonly onFault: (kinds: readonly FaultKind[], note: string) => void;
  /** No fault begins any more. */
  readonly stopping: AbortSignal;
}

/** Fault after fault, every kind once before any comes again, with a moment of calm between them. */
export async function runSchedule(options: ScheduleOptions): Promise<void> {
  const { kinds, context, recovered, onFault, stopping } = options;
  const { random } = context;
  let round: FaultKind[] = [];
  while (!stopping.aborted && kinds.length > 0) {
    if (round.length === 0) round = random.shuffle(kinds);
    const chosen = [round.pop() as FaultKind];
    if (random.chance(options.pairShare)) {
      const other = round.findIndex((kind) => areaOf(kind) !== areaOf(chosen[0] as FaultKind));
      if (other !== -1) chosen.push(...round.splice(other, 1));
    }
    const ends: FaultEnd[] = await Promise.all(
      chosen.map((kind) => faults[kind]({ ...context, random: random.fork(`${kind}-${random.next()}`) })),
    );
    onFault(chosen, ends.map(({ note }) => note).join('; '));
    await recovered(chosen);
    await Promise.all(ends.map(({ after }) => after?.()));
    await pause(random.between(200, 1_500), stopping);
  }
}
