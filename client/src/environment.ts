/** What the machine the client runs on says about itself. */
export interface Environment {
  /** `false`: there is surely no network. */
  readonly online: boolean;
  /** `false`: nobody is looking at the page. */
  readonly visible: boolean;
  /** Tells of each change; the answer stops it. */
  watch(changed: () => void): () => void;
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
  watch(changed) {
    const { document } = globalThis;
    if (!document) return () => {};
    globalThis.addEventListener('online', changed);
    globalThis.addEventListener('offline', changed);
    document.addEventListener('visibilitychange', changed);
    return () => {
      globalThis.removeEventListener('online', changed);
      globalThis.removeEventListener('offline', changed);
      document.removeEventListener('visibilitychange', changed);
    };
  },
};
