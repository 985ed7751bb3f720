import { createScriptedLog, type Hold, type ScriptedLog } from '../../server/src/hub/scripted-log.fixture.ts';
import { createStand, numbered, type Reader, readTopic, type Stand, turn } from '../../server/src/hub/stand.fixture.ts';
import { createMemoryLog } from '../../server/src/topics/memory.ts';
import { positionOf } from '../../server/src/topics/position.ts';
import { Witness } from './witness.fixture.ts';

const topic = 'public:model';
const topicTtlMs = 600_000;

/** What can happen; indexes are taken modulo what there is. */
export type Happening =
  | { readonly type: 'publish'; readonly count: number }
  | { readonly type: 'deliver'; readonly on: number; readonly at: number; readonly twice: boolean }
  | { readonly type: 'lose'; readonly on: number; readonly at: number }
  | { readonly type: 'deliverAll'; readonly on: number }
  | { readonly type: 'join'; readonly on: number; readonly history: number; readonly slow: boolean }
  | { readonly type: 'leave'; readonly reader: number }
  | { readonly type: 'move'; readonly reader: number; readonly on: number }
  | { readonly type: 'drain'; readonly reader: number }
  | {
      readonly type: 'hold';
      readonly on: number;
      readonly method: 'read' | 'snapshot' | 'listen';
      readonly asked: boolean;
    }
  | { readonly type: 'release'; readonly hold: number; readonly fails: boolean }
  | { readonly type: 'empty' }
  | { readonly type: 'expire' }
  | { readonly type: 'delete' }
  | { readonly type: 'copy' }
  | { readonly type: 'restore' }
  | { readonly type: 'away'; readonly on: number; readonly answers: boolean }
  | { readonly type: 'back'; readonly on: number }
  | { readonly type: 'local'; readonly on: number }
  | { readonly type: 'pass'; readonly ms: number };

interface Instance {
  readonly log: ScriptedLog;
  readonly stand: Stand;
}

interface Subscriber {
  readonly witness: Witness;
  on: number;
  reader: Reader | null;
  /** Refused, as when Redis was away: it comes back later. */
  refused: boolean;
  drain: () => void;
}

export interface ModelOptions {
  readonly checkGaps: boolean;
  /** Moves the fake clock. */
  readonly advance: (ms: number) => void;
}

/** Two instances over one log, and whoever reads from them, under whatever happens. */
export function createModel({ checkGaps, advance }: ModelOptions) {
  let at = 1_000_000;
  let events = 0;
  const memory = createMemoryLog({
    topicMaxEvents: 12,
    topicTtlMs,
    topicCloseGraceMs: 60_000,
    now: () => at,
    sweepIntervalMs: 3_600_000,
  });
  /** Which position each entry that was ever written names as the one before it. */
  const before = new Map<string, string>();
  void memory.listen(topic, (message) => {
    if (message.kind !== 'appended') return;
    let previous = message.before;
    for (const { position } of message.entries) {
      before.set(position, previous);
      previous = position;
    }
  });
  const instances: Instance[] = [0.3, 0.7].map((luck) => {
    const log = createScriptedLog(memory);
    log.holdLive();
    const limits = {
      pageEvents: 3,
      pageBytes: 10_000,
      ringEvents: 4,
      ringBytes: 10_000,
      maxReplayEvents: 8,
      maxHistoryBytes: 10_000,
      maxPending: 3,
    };
    return { log, stand: createStand(log, { now: () => at, random: () => luck, limits, checkGaps }) };
  });
  const subscribers: Subscriber[] = [];
  const holds: Hold[] = [];
  let copy: (() => void) | null = null;

  const pick = <T>(list: readonly T[], index: number): T | undefined =>
    list.length === 0 ? undefined : list[index % list.length];
  const onto = (index: number): Instance => pick(instances, index) as Instance;
  const pass = async (ms: number): Promise<void> => {
    at += ms;
    advance(ms);
    await turn();
  };

  const start = (subscriber: Subscriber, history: number, slow: boolean): void => {
    const { witness } = subscriber;
    const lastId = witness.lastId;
    witness.comesBack();
    subscriber.refused = false;
    const gate = { open: !slow, wait: Promise.withResolvers<void>() };
    subscriber.drain = () => {
      gate.open = true;
      gate.wait.resolve();
    };
    const reading = readTopic(onto(subscriber.on).stand.hub, topic, {
      position: lastId === undefined ? undefined : positionOf(lastId),
      history,
      maxReplayEvents: 8,
      pace: () => (gate.open ? undefined : gate.wait.promise),
      onItem: witness.listener(),
    });
    const refused = (): void => {
      subscriber.refused = true;
    };
    reading.then((reader) => {
      subscriber.reader = reader;
      reader.joined.catch(refused);
    }, refused);
  };
  const stop = (subscriber: Subscriber): void => {
    subscriber.drain();
    subscriber.witness.leaves();
    subscriber.reader?.leave();
    subscriber.reader = null;
  };

  const happen = async (what: Happening): Promise<void> => {
    switch (what.type) {
      case 'publish': {
        at += 1;
        const numbers = Array.from({ length: what.count }, (_, n) => events + n + 1);
        events += what.count;
        await memory.append(topic, numbered(numbers));
        break;
      }
      case 'deliver': {
        const { log } = onto(what.on);
        if (log.flying.length > 0) log.deliver(what.at % log.flying.length, what.twice);
        break;
      }
      case 'lose': {
        const { log } = onto(what.on);
        if (log.flying.length > 0) log.flying.splice(what.at % log.flying.length, 1);
        break;
      }
      case 'deliverAll': {
        const { log } = onto(what.on);
        log.passLive();
        log.holdLive();
        break;
      }
      case 'join': {
        if (subscribers.length >= 8) break;
        const subscriber: Subscriber = {
          witness: new Witness(before),
          on: what.on,
          reader: null,
          refused: false,
          drain: () => {},
        };
        subscribers.push(subscriber);
        start(subscriber, what.history, what.slow);
        break;
      }
      case 'leave': {
        const subscriber = pick(subscribers, what.reader);
        // One that has not got its channel yet cannot leave it.
        if (subscriber?.reader) {
          stop(subscriber);
          subscribers.splice(subscribers.indexOf(subscriber), 1);
        }
        break;
      }
      case 'move': {
        const subscriber = pick(subscribers, what.reader);
        if (!subscriber?.reader || subscriber.witness.hasEnded) break;
        stop(subscriber);
        subscriber.on = what.on;
        start(subscriber, 2, false);
        break;
      }
      case 'drain':
        pick(subscribers, what.reader)?.drain();
        break;
      case 'hold':
        holds.push(onto(what.on).log.hold(what.method, what.asked));
        break;
      case 'release': {
        const hold = pick(holds, what.hold);
        if (hold === undefined) break;
        holds.splice(holds.indexOf(hold), 1);
        if (what.fails) hold.fail();
        else hold.release();
        break;
      }
      case 'empty':
        memory.clear();
        at += 1;
        break;
      case 'expire':
        at += topicTtlMs + 1;
        break;
      case 'delete':
        await memory.delete(topic);
        at += 1;
        break;
      case 'copy':
        copy = memory.copy();
        break;
      case 'restore':
        copy?.();
        at += 1;
        break;
      case 'away': {
        const { log, stand } = onto(what.on);
        if (!what.answers) log.setAway(true);
        stand.setAvailable(false);
        break;
      }
      case 'back': {
        const { log, stand } = onto(what.on);
        log.setAway(false);
        stand.setAvailable(true);
        break;
      }
      case 'local':
        onto(what.on).stand.hub.deliverLocal(topic, '"name":"local","data":0');
        break;
      case 'pass':
        await pass(what.ms);
        break;
    }
    await turn();
  };

  return {
    happen,
    /** Everything is well again: nobody may be left behind. */
    async quiesce(): Promise<void> {
      for (const hold of holds.splice(0)) hold.release();
      for (const { log, stand } of instances) {
        log.disarm();
        log.lose();
        log.passLive();
        log.setAway(false);
        stand.setAvailable(true);
      }
      for (const subscriber of subscribers) subscriber.drain();
      for (let n = 0; n < 100; n += 1) await pass(500);
      for (const subscriber of subscribers) {
        if (!subscriber.refused || subscriber.witness.hasEnded) continue;
        stop(subscriber);
        start(subscriber, 0, false);
      }
      for (let n = 0; n < 100; n += 1) await pass(500);
    },
    /** Everything that a subscriber saw and should not have, or should have seen and has not. */
    async faults(): Promise<readonly string[]> {
      const { last } = await memory.head(topic);
      const ended = subscribers.flatMap(({ witness, refused }, index) => {
        if (witness.hasEnded) return [];
        if (refused) return [`subscriber ${index} was refused when all was well`];
        if (witness.position !== last) return [`subscriber ${index} is at ${witness.position}, the log at ${last}`];
        return witness.isDegraded ? [`subscriber ${index} believes that Redis is away`] : [];
      });
      return [...subscribers.flatMap(({ witness }) => witness.faults), ...ended];
    },
    deliveries: () => subscribers.reduce((sum, { witness }) => sum + witness.events, 0),
    close(): void {
      for (const subscriber of subscribers) stop(subscriber);
      for (const { stand } of instances) stand.hub.close();
      memory.close();
    },
    listening: () => instances.reduce((sum, { log }) => sum + log.listening, 0),
  };
}
