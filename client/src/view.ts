import type { Member, ResetReason, TopicEvent, TopicItem } from '@usher/contracts';

/** What is known of a topic at this moment: all that a user interface needs to draw it. */
export interface TopicView<TState = unknown, TEvent extends TopicEvent = TopicEvent> {
  /** `waiting`: nothing has come yet. `closed`: the topic ended. `failed`: the subscription did. */
  readonly status: 'waiting' | 'current' | 'degraded' | 'closed' | 'failed';
  /** The latest snapshot with the events since folded into it. */
  readonly state: TState | null;
  /** The latest events, oldest first; `keep` of them. */
  readonly events: readonly TEvent[];
  /** Who is there, when presence was asked for. */
  readonly members: readonly Member[];
  /** Why something was missed, the last time it was. */
  readonly reset: ResetReason | null;
}

/** Folds one event into a state. */
export type Reduce<TState, TEvent> = (state: TState | null, event: TEvent) => TState | null;

export interface Fold<TState, TEvent extends TopicEvent> {
  /** The same object until something changes. */
  readonly view: TopicView<TState, TEvent>;
  take(item: TopicItem<TState, TEvent>): void;
  failed(): void;
}

export function createFold<TState, TEvent extends TopicEvent>(
  reduce: Reduce<TState, TEvent>,
  keep: number,
): Fold<TState, TEvent> {
  type View = TopicView<TState, TEvent>;
  let view: View = { status: 'waiting', state: null, events: [], members: [], reset: null };
  const change = (next: Partial<View>) => {
    view = { ...view, ...next };
  };
  const latest = (events: readonly TEvent[]) => (keep > 0 ? events.slice(-keep) : []);
  const append = (event: TEvent) => {
    change({ events: latest([...view.events, event]), state: reduce(view.state, event) });
  };
  const start = (state: TState | null, events: readonly TEvent[]) => {
    // A state that the log holds knows of these events; without one, they are all there is to go by.
    change({
      state: state ?? events.reduce(reduce, null),
      events: latest(events),
    });
  };

  return {
    get view() {
      return view;
    },
    take(item) {
      const { type } = item;
      if (type === 'event') append(item.event);
      else if (type === 'presence') change({ members: foldMembers(view.members, item.joined, item.left) });
      else {
        if (type === 'snapshot' || type === 'reset') start(item.state, item.events);
        if (type === 'reset') change({ reset: item.reason });
        // The event that closed a topic has come as an event before.
        change({ status: type === 'degraded' || type === 'closed' ? type : 'current' });
      }
    },
    failed: () => change({ status: 'failed' }),
  };
}

function foldMembers(members: readonly Member[], joined: readonly Member[], left: readonly Member[]): Member[] {
  const gone = new Set([...joined, ...left].map((member) => member.userId));
  return [...members.filter((member) => !gone.has(member.userId)), ...joined];
}
