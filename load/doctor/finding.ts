/** A step that failed: what was found, and what to look at. */
export class Finding extends Error {
  override readonly name = 'Finding';
  readonly hint: string | null;

  constructor(message: string, hint: string | null = null, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.hint = hint;
  }
}

/** A step that has nothing to check here. */
export class LeftOut extends Error {
  override readonly name = 'LeftOut';
}
