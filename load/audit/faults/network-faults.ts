import { pause } from '../call.ts';
import type { Fault } from './fault.ts';

/** Something on the way of one instance to Redis, for a while. */
const onTheWay =
  (
    range: readonly [minMs: number, maxMs: number],
    act: (
      relay: Parameters<Fault>[0]['fleet']['instances'][number]['redis'],
      random: Parameters<Fault>[0]['random'],
    ) => string,
    end: 'pass' | 'pass or drop',
  ): Fault =>
  async ({ fleet, random, signal }) => {
    const instance = random.pick(fleet.instances);
    const ms = random.int(...range);
    const what = act(instance.redis, random);
    await pause(ms, signal);
    // What was held arrives late, or never.
    const drops = end === 'pass or drop' && random.chance(0.5);
    if (drops) instance.redis.drop();
    instance.redis.pass();
    return { note: `${what} between ${instance.name} and Redis for ${ms} ms${drops ? ', then dropped' : ''}` };
  };

export const cutNetwork = onTheWay(
  [200, 4_000],
  (relay) => {
    relay.cut();
    return 'TCP cut';
  },
  'pass',
);

export const delayNetwork = onTheWay(
  [1_000, 4_000],
  (relay, random) => {
    const ms = random.int(50, 700);
    relay.delay(ms);
    return `${ms} ms of delay`;
  },
  'pass',
);

export const silenceNetwork = onTheWay(
  [500, 7_000],
  (relay) => {
    relay.hold();
    return 'silence';
  },
  'pass or drop',
);

/** Commands arrive and their answers do not: nobody can know what was appended. */
export const deafenNetwork = onTheWay(
  [300, 6_500],
  (relay) => {
    relay.hold('answers');
    return 'no answers';
  },
  'pass or drop',
);

export const cutPubSub = onTheWay(
  [1_000, 3_000],
  (relay) => {
    relay.cut('subscriptions');
    return 'pub/sub cut';
  },
  'pass',
);

export const silencePubSub = onTheWay(
  [1_000, 7_000],
  (relay) => {
    relay.hold('subscriptions');
    return 'pub/sub silent';
  },
  'pass or drop',
);
