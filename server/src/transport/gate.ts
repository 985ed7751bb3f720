/** Lets through as much at once as its size, in the order of asking. Its queue is bounded by who asks. */
export class Gate {
  readonly #size: number;
  #inside = 0;
  readonly #waiting: { readonly weight: number; readonly letIn: () => void }[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  /** Resolves when there is room; what is heavier than the gate is wide goes through alone. */
  enter(weight = 1): Promise<void> {
    const share = Math.min(weight, this.#size);
    if (this.#waiting.length === 0 && this.#inside + share <= this.#size) {
      this.#inside += share;
      return Promise.resolve();
    }
    return new Promise((letIn) => this.#waiting.push({ weight: share, letIn }));
  }

  /** MUST be called once for each that entered, with the same weight or, where the gate is as wide, in parts of it. */
  leave(weight = 1): void {
    this.#inside -= Math.min(weight, this.#size);
    for (let next = this.#waiting[0]; next && this.#inside + next.weight <= this.#size; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#inside += next.weight;
      next.letIn();
    }
  }
}
