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
  const append = (event: TEvent) => {
    const events = keep > 0 ? [...view.events, event].slice(-keep) : view.events;
    change({ events, state: reduce(view.state, event) });
  };
  const start = (state: TState | null, events: readonly TEvent[]) => {
    // A state that the log holds knows of these events; without one, they are all there is to go by.
    change({
      status: 'current',
      state: state ?? events.reduce(reduce, null),
      events: keep > 0 ? events.slice(-keep) : [],
    });
  };

  return {
    get view() {
      return view;
    },
    take(item) {
      switch (item.type) {
        case 'snapshot':
          return start(item.state, item.events);
        case 'reset':
          start(item.state, item.events);
          return change({ reset: item.reason });
        case 'event':
          return append(item.event);
        case 'degraded':
          return change({ status: 'degraded' });
        case 'restored':
        case 'resumed':
          return change({ status: 'current' });
        case 'presence':
          return change({ members: foldMembers(view.members, item.joined, item.left) });
        case 'closed':
          // The event that closed it has come as an event before.
          return change({ status: 'closed' });
      }
    },
    failed: () => change({ status: 'failed' }),
  };
}

function foldMembers(members: readonly Member[], joined: readonly Member[], left: readonly Member[]): Member[] {
  const gone = new Set([...joined, ...left].map((member) => member.userId));
  return [...members.filter((member) => !gone.has(member.userId)), ...joined];
}
