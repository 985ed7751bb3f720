/** Whether this instance is on its way out: asked by whoever would otherwise take on something new. */
export interface Leaving {
  /** When it began, in ms since 1970; `null` while it stays. */
  readonly since: number | null;
  begin(): void;
  /** Calls back when it begins; gives the way to stop. */
  onBegin(listener: () => void): () => void;
}

export function createLeaving(now: () => number = Date.now): Leaving {
  const listeners = new Set<() => void>();
  let since: number | null = null;
  return {
    get since() {
      return since;
    },
    begin() {
      if (since !== null) return;
      since = now();
      for (const listener of [...listeners]) listener();
      listeners.clear();
    },
    onBegin(listener) {
      if (since === null) listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
