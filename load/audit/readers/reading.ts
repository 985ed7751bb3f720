import type { ResetReason, TopicEvent, TopicItem } from '@usher/contracts';
import { partsOf, positionOf } from '../../../server/src/topics/position.ts';
import { auditedData, keyOfState } from '../audited-data.ts';
import type { Findings } from '../finding.ts';
import { foldOf, foldOn } from '../logs/fold.ts';
import type { Ledger, Stretch } from '../logs/ledger.ts';

/** How a stretch of events began. */
type Beginning = 'snapshot' | ResetReason | 'gap';

interface Segment {
  readonly beginning: Beginning;
  /** The position told at the beginning; `null` after an untold gap. */
  readonly from: string | null;
  first: string;
  last: string;
  count: number;
  fold: number;
  /** Key of the event whose state was told at the beginning; empty for none. */
  readonly stateKey: string;
  /** Told from memory, with what an instance happened to know. */
  degraded: boolean;
}

export interface ReadingOptions {
  readonly findings: Findings;
  /** It may hear two connections at once. @default false */
  readonly overlaps?: boolean;
}

/** Ranges of missing events that are remembered, to tell an event that comes late from one that comes twice. */
const maxMissing = 100;

/** `expired` and `unknown` say that the log does not hold what follows; `limit` only that it is much. */
const isDoubtful = (beginning: Beginning): boolean => beginning === 'expired' || beginning === 'unknown';

/** What one reader of one topic saw and was told: stretches of events without a gap, not each event. */
export class Reading {
  readonly topic: string;
  readonly who: string;
  /** Given back when it subscribes again. */
  lastEventId: string | undefined;
  ended = false;
  delivered = 0;
  local = 0;
  resumed = 0;
  replayed = 0;
  degraded = 0;
  restored = 0;
  readonly resets: Record<ResetReason, number> = { expired: 0, unknown: 0, limit: 0 };

  readonly #findings: Findings;
  readonly #overlaps: boolean;
  readonly #segments: Segment[] = [];
  readonly #missing: { from: number; to: number }[] = [];
  #segment: Segment | undefined;
  #ms = 0;
  #seq = 0;
  #awaits: 'nothing' | 'snapshot' | 'continuation' = 'nothing';
  #isDegraded = false;
  #mayBeRestored = false;

  /** `overlaps`: while it moves it hears two connections, and each half of degraded and restored perhaps twice. */
  constructor(topic: string, who: string, { findings, overlaps = false }: ReadingOptions) {
    this.topic = topic;
    this.who = who;
    this.#findings = findings;
    this.#overlaps = overlaps;
  }

  /** It has subscribed: the first item must say where it stands. */
  asked(): void {
    this.#awaits = this.lastEventId === undefined ? 'snapshot' : 'continuation';
    // On a new connection it may hear the other half of what it was told, or begin with a clean slate.
    this.#mayBeRestored ||= this.#isDegraded;
    this.#isDegraded = false;
  }

  /** It was told that Redis is away, and not yet that it is back. */
  get isDegraded(): boolean {
    return this.#isDegraded;
  }

  get position(): string | undefined {
    return this.lastEventId === undefined ? undefined : positionOf(this.lastEventId);
  }

  /** Whether it has got as far as `position`, or was told to begin behind it; time never goes back, whatever is lost. */
  reached(position: string): boolean {
    if (this.#segment === undefined) return false;
    const { ms, seq } = partsOf(position);
    return this.#ms > ms || (this.#ms === ms && this.#seq >= seq);
  }

  take(id: string, item: TopicItem): void {
    if (this.ended) this.#fault('protocol', `${item.type} came after closed`);
    this.#checkFirst(item.type);
    const asked = this.position;
    this.lastEventId = id;
    switch (item.type) {
      case 'event':
        this.#take(item.event, id);
        break;
      case 'snapshot':
        this.#begin('snapshot', id, item);
        break;
      case 'reset':
        this.resets[item.reason] += 1;
        this.#begin(item.reason, id, item);
        break;
      case 'resumed':
        this.resumed += 1;
        this.replayed += item.replayed;
        if (this.#awaits !== 'nothing' && positionOf(id) !== asked) {
          this.#fault('gap', `resumed at ${positionOf(id)}, asked for ${asked}`);
        }
        break;
      case 'degraded':
        this.degraded += 1;
        this.#isDegraded = true;
        if (this.#segment?.beginning === 'snapshot' && this.#segment.count === 0) this.#segment.degraded = true;
        break;
      case 'restored':
        this.restored += 1;
        if (!this.#isDegraded && !this.#mayBeRestored && !this.#overlaps) {
          this.#fault('protocol', 'restored came without degraded');
        }
        this.#isDegraded = this.#mayBeRestored = false;
        break;
      case 'closed':
        this.ended = true;
        break;
      case 'presence':
    }
    this.#awaits = 'nothing';
  }

  /** Compares what came with the log. `needless`: resets that told of a loss where there was none. */
  settle(ledger: Ledger, options: { readonly keptEvents: number }): { readonly needlessResets: number } {
    let needlessResets = 0;
    this.#segments.forEach((segment, at) => {
      const fault = segment.count === 0 ? null : ledger.faultOf(segment satisfies Stretch);
      if (fault !== null) this.#fault('gap', fault);
      const from = segment.from === null ? undefined : ledger.find(segment.from);
      if (from && !segment.degraded && from.stateKey !== segment.stateKey) {
        const [told, logged] = [segment.stateKey || 'none', from.stateKey || 'none'];
        this.#fault(
          'protocol',
          `${segment.beginning} at ${from.position} with state ${told}; the log has ${logged} there`,
        );
      }
      const before = this.#segments[at - 1];
      const reached = before && ledger.find(before.count > 0 ? before.last : (before.from ?? ''));
      if (!isDoubtful(segment.beginning) || !reached || !from) return;
      if (ledger.precedes(reached, from) && from.depth - reached.depth < options.keptEvents) needlessResets += 1;
    });
    return { needlessResets };
  }

  #take(event: TopicEvent, id: string): void {
    const { position } = event;
    if (position === null) {
      this.local += 1;
      if (event.durable !== false) this.#fault('protocol', 'an event without a position is not marked');
      return;
    }
    if (position !== id) this.#fault('protocol', `event ${position} came under the id ${id}`);
    this.delivered += 1;
    const { ms, seq } = partsOf(position);
    let segment = this.#segment;
    if (segment === undefined || seq !== this.#seq + 1) {
      if (!this.#breaks(position, ms, seq)) return;
      segment = this.#open('gap', null, '');
    }
    this.#ms = ms;
    this.#seq = seq;
    if (segment.count === 0) segment.first = position;
    segment.last = position;
    segment.count += 1;
    segment.fold = foldOn(segment.fold, foldOf(position, auditedData(event.data).key));
  }

  /** An event that does not follow: says what it is; `true` where reading goes on from it. */
  #breaks(position: string, ms: number, seq: number): boolean {
    const at = this.#segment === undefined ? 'nothing' : `${this.#ms}-${this.#seq}`;
    if (this.#segment !== undefined && seq <= this.#seq && ms <= this.#ms) {
      const range = this.#missing.find(({ from, to }) => seq >= from && seq <= to);
      this.#fault(range ? 'reorder' : 'double', `${position} came after ${at}`);
      // Twice late is twice.
      if (range && seq === range.from) range.from += 1;
      return false;
    }
    if (this.#missing.length < maxMissing) this.#missing.push({ from: this.#seq + 1, to: seq - 1 });
    this.#fault('gap', `${position} came after ${at}`);
    return true;
  }

  #begin(
    beginning: 'snapshot' | ResetReason,
    id: string,
    item: { state: unknown; events: readonly TopicEvent[] },
  ): void {
    const position = positionOf(id);
    this.#open(beginning, position, keyOfState(item.state));
    this.#isDegraded = this.#mayBeRestored = false;
    const { ms, seq } = partsOf(position);
    this.#ms = ms;
    this.#seq = seq;
    this.#missing.length = 0;
    const { events } = item;
    const last = events.at(-1);
    if (last && last.position !== position) {
      this.#fault('gap', `a ${beginning} at ${position} has ${last.position} as its last event`);
    }
    for (let at = 1; at < events.length; at += 1) {
      const [before, after] = [events[at - 1]?.position ?? '', events[at]?.position ?? ''];
      if (partsOf(after).seq !== partsOf(before).seq + 1)
        this.#fault('gap', `a ${beginning} has ${after} after ${before}`);
    }
  }

  #open(beginning: Beginning, from: string | null, stateKey: string): Segment {
    const segment: Segment = { beginning, from, first: '', last: '', count: 0, fold: 0, stateKey, degraded: false };
    this.#segments.push(segment);
    this.#segment = segment;
    return segment;
  }

  #checkFirst(type: TopicItem['type']): void {
    if (this.#awaits === 'nothing') return;
    const wanted = this.#awaits === 'snapshot' ? ['snapshot'] : ['resumed', 'reset'];
    if (!wanted.includes(type)) this.#fault('protocol', `${type} came first, where ${wanted.join(' or ')} was due`);
  }

  #fault(kind: 'gap' | 'double' | 'reorder' | 'protocol', detail: string): void {
    this.#findings.add(kind, this, detail);
  }
}
