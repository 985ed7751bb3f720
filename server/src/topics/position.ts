/** A position taken apart: `<ms>-<seq>`. */
export interface PositionParts {
  readonly ms: number;
  readonly seq: number;
}

export function partsOf(position: string): PositionParts {
  const dash = position.indexOf('-');
  return { ms: Number(position.slice(0, dash)), seq: Number(position.slice(dash + 1)) };
}

/** The position inside an item's id: what stands before the `~`. */
export function positionOf(id: string): string {
  const tilde = id.indexOf('~');
  return tilde === -1 ? id : id.slice(0, tilde);
}

/**
 * Whether `a` was given out before `b`, supposing both are of one log. It decides which excuse is told, never whether
 * something continues.
 */
export function isOlder(a: string, b: string): boolean {
  const left = partsOf(a);
  const right = partsOf(b);
  return left.ms < right.ms || (left.ms === right.ms && left.seq < right.seq);
}
