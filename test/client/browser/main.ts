// The page of browser.test.ts: built by Vite from the packed packages, and driven through `window.app`.
import { createUsher, type Usher } from '@usher/client';

interface Setting {
  readonly url: string;
  readonly token: string;
  readonly topic: string;
  /** WebSockets go through this port, so that they can break while HTTP works. */
  readonly proxyPort: number;
}

class ThroughProxy extends WebSocket {
  constructor(given: string | URL) {
    const url = new URL(given);
    url.port = String(setting?.proxyPort);
    super(url);
  }
}

let setting: Setting | undefined;
let usher: Usher | undefined;
const told: string[] = [];
const numbers: number[] = [];
const resets: string[] = [];

const app = {
  start(given: Setting) {
    setting = given;
    usher = createUsher({
      url: given.url,
      token: given.token,
      WebSocket: ThroughProxy,
      retry: { initialMs: 50, maxMs: 500 },
      breaker: { openMs: 400 },
      fallback: { afterMs: 800 },
      polling: { waitMs: 3_000, minIntervalMs: 50 },
      onConnect: () => told.push('connect'),
      onDisconnect: (reason) => told.push(`disconnect ${reason}`),
      onReconnect: () => told.push('reconnect'),
      onFallback: () => told.push('fallback'),
      onRestore: () => told.push('restore'),
      onClose: (reason) => told.push(`close ${reason}`),
    });
    const subscription = usher.topic('public', given.topic).subscribe({
      onSnapshot: () => told.push('snapshot'),
      onEvent: ({ event }) => numbers.push(event.data as number),
      onReset: ({ reason }) => resets.push(reason),
    });
    subscription.watch(() => {
      document.title = `${subscription.view.status} ${numbers.length}`;
    });
  },
  read: () => ({
    status: usher?.state.status,
    told: [...told],
    count: numbers.length,
    numbers: [...numbers],
    resets: [...resets],
    title: document.title,
    visibility: document.visibilityState,
    online: navigator.onLine,
  }),
};

export type App = typeof app;
(globalThis as { app?: App }).app = app;
