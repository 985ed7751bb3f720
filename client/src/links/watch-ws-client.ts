import type { TRPCWebSocketClient } from '@trpc/client';
import type { BackoffOptions } from '../backoff.ts';
import { type Clock, systemClock } from '../clock.ts';
import { type Environment, hostEnvironment } from '../environment.ts';
import { quietLogger } from '../logger.ts';
import { createNotifier } from '../notifier.ts';
import { createPace } from '../pace.ts';
import type { ConnectionState } from '../state.ts';
import type { FallbackSource } from './polling.ts';

export interface WatchOptions extends BackoffOptions {
  /** Time without a connection after which topics are polled, in ms. @default 10000 */
  readonly afterMs?: number;
  /** @default the system's */
  readonly clock?: Clock;
  /** @default the browser's */
  readonly environment?: Environment;
}

/**
 * The state of a WebSocket client of tRPC's own, for `pollingFallbackLink` without `createUsher`. It goes by
 * `connectionState`, since a lost socket gives its subscriptions no error.
 */
export function watchWsClient(client: TRPCWebSocketClient, options: WatchOptions = {}): FallbackSource {
  const { afterMs = 10_000, clock = systemClock, environment = hostEnvironment } = options;
  const { watch, emit } = createNotifier<ConnectionState>(quietLogger, {});
  let state: ConnectionState = { status: 'idle' };
  let stopPatience = () => {};

  const enter = (next: ConnectionState) => {
    state = next;
    emit(next);
  };
  client.connectionState.subscribe({
    next({ state: wsState }) {
      if (wsState === 'connecting') {
        if (state.status === 'connecting' || state.status === 'polling') return;
        stopPatience = clock.after(afterMs, () => enter({ status: 'polling', reason: 'NETWORK' }));
        return enter({ status: 'connecting', attempt: 1 });
      }
      stopPatience();
      enter({ status: wsState === 'pending' ? 'live' : 'idle' });
    },
  });
  return {
    get state() {
      return state;
    },
    watch,
    polls: createPace({ ...options, clock, environment }),
    clock,
  };
}
