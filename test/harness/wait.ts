/** How long the harness waits for anything before it gives up; a bound against hanging, never a claim about speed. */
export const patienceMs = 15_000;

export interface WaitOptions {
  /** @default 15,000 ms */
  readonly timeoutMs?: number;
  /** What is waited for, in the message of the failure; a function is asked only then. @default 'it' */
  readonly what?: string | (() => string);
}

/** Waits for a promise, but not for ever. */
export async function within<T>(promise: Promise<T>, options: WaitOptions = {}): Promise<T> {
  const { timeoutMs = patienceMs, what = 'it' } = options;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`Waited ${timeoutMs} ms for ${typeof what === 'string' ? what : what()}`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again until `ask` neither throws nor answers `false`; gives its answer, or fails with what it threw last. */
export async function eventually<T>(
  ask: () => T | Promise<T>,
  options: WaitOptions & { readonly intervalMs?: number } = {},
): Promise<Exclude<T, false>> {
  const { timeoutMs = patienceMs, intervalMs = 20, what = 'it' } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let cause: unknown;
    try {
      const answer = await within(Promise.resolve(ask()), { timeoutMs, what });
      if (answer !== false) return answer as Exclude<T, false>;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= deadline) {
      const reason = cause instanceof Error ? `: ${cause.message}` : '';
      throw new Error(`Waited ${timeoutMs} ms for ${typeof what === 'string' ? what : what()}${reason}`, { cause });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
