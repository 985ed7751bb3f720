/** What an audit may find wrong; any one of them fails the run. */
export type FindingKind =
  /** Events that a reader never got, or that are of another log, without a word. */
  | 'gap'
  | 'double'
  | 'reorder'
  /** A publish was answered, and its event is in no log. */
  | 'promise'
  /** Something the wire does not allow. */
  | 'protocol'
  /** The auditor itself missed a part of a log: the run proves nothing. */
  | 'blind';

export interface Finding {
  readonly kind: FindingKind;
  readonly topic: string;
  /** The reader or publisher it happened to. */
  readonly who: string;
  readonly detail: string;
  /** In ms since 1970. */
  readonly at: number;
}

export interface Findings {
  readonly counts: Readonly<Record<FindingKind, number>>;
  /** The first of them. */
  readonly details: readonly Finding[];
  add(kind: FindingKind, where: { readonly topic: string; readonly who: string }, detail: string): void;
}

/** Findings kept with their details; past that they are only counted. */
const maxDetails = 200;

export function createFindings(now: () => number = Date.now): Findings {
  const counts: Record<FindingKind, number> = { gap: 0, double: 0, reorder: 0, promise: 0, protocol: 0, blind: 0 };
  const details: Finding[] = [];
  return {
    counts,
    details,
    add(kind, { topic, who }, detail) {
      counts[kind] += 1;
      if (details.length < maxDetails) details.push({ kind, topic, who, detail, at: now() });
    },
  };
}
