// Run by k6 (k6.test.ts): what a reader is shown here has one gap, one double, one reset, and a tail that is missing.
import type { TopicItem } from '../../contracts/src/items.ts';
import { createReader } from '../../load/k6/reader.ts';

export const options = {
  scenarios: { show: { executor: 'per-vu-iterations', exec: 'showIt', vus: 1, iterations: 1 } },
  thresholds: {
    usher_delivered_events: ['count==6'],
    usher_missed_events: ['count==6'],
    usher_doubled_events: ['count==1'],
    usher_resets: ['count==1'],
    usher_replayed_events: ['count==1'],
  },
};

const event = (n: number) => ({ position: `1-${n}`, at: 0, name: 'tick', data: { n, at: Date.now() } });

export function showIt(): void {
  const items: readonly TopicItem[] = [
    { type: 'snapshot', state: { n: 4 }, events: [] },
    { type: 'event', event: event(5) },
    // 6 and 7 are missing.
    { type: 'event', event: event(8) },
    { type: 'event', event: event(8) },
    { type: 'resumed', replayed: 1 },
    { type: 'event', event: event(9) },
    // What a reset leaves out was told.
    { type: 'reset', reason: 'expired', state: { n: 99 }, events: [] },
    { type: 'event', event: event(100) },
    // 101 and 102 are missing: no reset told that there would be a new beginning.
    { type: 'snapshot', state: { n: 102 }, events: [] },
    { type: 'event', event: event(103) },
    // 104 and the end itself, 105, never came.
    { type: 'closed', event: event(105) },
  ];
  const reader = createReader('public:counts');
  items.forEach((item, at) => {
    reader.take(`1-${at}`, item);
  });
  if (!reader.ended || reader.lastEventId !== `1-${items.length - 1}`) throw new Error('The end was not seen');
}
