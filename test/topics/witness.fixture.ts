import type { TopicEvent, TopicItem } from '@usher/contracts';
import { positionOf } from '../../server/src/topics/position.ts';

/** What one subscriber saw and was told, over all its connections, held against what was ever written. */
export class Witness {
  readonly faults: string[] = [];
  lastId: string | undefined;
  /** Where it believes to be. */
  position = '';
  isDegraded = false;
  hasEnded = false;
  /** Logged events it was given. */
  events = 0;

  readonly #before: ReadonlyMap<string, string>;
  #connection = 0;
  #isNew = true;

  constructor(before: ReadonlyMap<string, string>) {
    this.#before = before;
  }

  comesBack(): void {
    this.#connection += 1;
    this.#isNew = true;
  }

  /** What a connection it has left still says is not heard. */
  leaves(): void {
    this.#connection += 1;
  }

  listener(): (id: string, item: TopicItem) => void {
    const connection = this.#connection;
    return (id, item) => {
      if (connection === this.#connection) this.#see(id, item);
    };
  }

  #see(id: string, item: TopicItem): void {
    if (this.hasEnded) this.#fault(`${item.type} came after the end`);
    if (id === this.lastId) this.#fault(`the id ${id} came twice in a row, which tRPC's client drops`);
    const isFirst = item.type === 'snapshot' || item.type === 'resumed' || (item.type === 'reset' && this.#isNew);
    if (isFirst !== this.#isNew) this.#fault(`${item.type} came ${this.#isNew ? 'first' : 'later'}`);
    this.#isNew = false;
    if (item.type === 'snapshot' || item.type === 'reset') {
      this.#history(item.events, positionOf(id));
      this.position = positionOf(id);
      this.isDegraded = false;
    } else if (item.type === 'resumed') {
      if (positionOf(id) !== this.position) this.#fault(`resumed at ${id} what stood at ${this.position}`);
      this.isDegraded = false;
    } else if (item.type === 'event') this.#event(id, item.event);
    else if (item.type === 'degraded' || item.type === 'restored') {
      if (this.isDegraded === (item.type === 'degraded')) this.#fault(`${item.type} was told twice`);
      this.isDegraded = item.type === 'degraded';
    } else if (item.type === 'closed') this.hasEnded = true;
    if (item.type !== 'event' && positionOf(id) !== this.position)
      this.#fault(`${item.type} at ${id}, not ${this.position}`);
    this.lastId = id;
  }

  #event(id: string, event: TopicEvent): void {
    if (event.position === null) {
      if (positionOf(id) !== this.position) this.#fault(`a local event at ${id}, not ${this.position}`);
      return;
    }
    if (event.position !== id) this.#fault(`event ${event.position} has the id ${id}`);
    this.#follows(event, this.position);
    this.position = event.position;
    this.events += 1;
  }

  /** The events of a snapshot follow each other up to its position. */
  #history(events: readonly TopicEvent[], position: string): void {
    let previous: string | null | undefined;
    for (const event of events) {
      if (previous !== undefined) this.#follows(event, previous ?? '');
      previous = event.position;
    }
    if (previous !== undefined && previous !== position) this.#fault(`history up to ${previous} for ${position}`);
  }

  #follows(event: TopicEvent, previous: string): void {
    const wanted = this.#before.get(event.position ?? '');
    if (wanted !== previous) this.#fault(`event ${event.position} follows ${wanted}, and came after ${previous}`);
  }

  #fault(text: string): void {
    this.faults.push(text);
  }
}
