/** What the machine the client runs on says about itself. */
export interface Environment {
  /** `false`: there is surely no network. */
  readonly online: boolean;
  /** `false`: nobody is looking at the page. */
  readonly visible: boolean;
  /** Tells of each change, until `signal` aborts. */
  watch(changed: () => void, signal: AbortSignal): void;
}

/** The browser's word where there is a browser; elsewhere always online and visible. */
export const hostEnvironment: Environment = {
  // Deno and Node have a `navigator` without `onLine`; only `false` means something.
  get online() {
    return globalThis.navigator?.onLine !== false;
  },
  get visible() {
    return globalThis.document?.visibilityState !== 'hidden';
  },
  watch(changed, signal) {
    // A change of visibility bubbles up to the window; in a worker, and outside a browser, there may be nothing to ask.
    for (const type of ['online', 'offline', 'visibilitychange']) {
      globalThis.addEventListener?.(type, changed, { signal });
    }
  },
};
