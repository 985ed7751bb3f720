const hidden = '[secret]';

/** Text that must not be printed: whatever logs, inspects or serialises it gets `[secret]`. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself, for the one place that needs it. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return hidden;
  }

  toJSON(): string {
    return hidden;
  }

  // What `console.log` and `util.inspect` ask on Node, Bun and Deno.
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return hidden;
  }
}
