import { type Member, UsherError } from '@usher/contracts';
import { frameFor, frameTail } from '../hub/frame.ts';
import type { GroupSocket } from '../hub/group.ts';
import { presenceJson } from '../hub/items.ts';
import { type Joiner, join } from '../hub/join.ts';
import { refuseAway } from './away.ts';
import type { PacedSocket, Pacer } from './pacer.ts';
import type { Subscription } from './subscription.ts';

/** A connection as a subscription uses it. */
export interface SubscriberSocket extends GroupSocket, PacedSocket {
  readonly connectionId: string;
  /** Counts one subscription more. @throws UsherError CONNECTION_LIMIT */
  enter(): void;
  exit(): void;
}

export interface SubscribePresence {
  /** Makes a connection a member; gives those who are there, and the way out. MUST NOT reject. */
  enter(
    topic: string,
    member: { readonly connectionId: string; readonly userId: string },
  ): Promise<{ readonly members: string; exit(): void }>;
}

export interface NativeOptions {
  readonly socket: SubscriberSocket;
  readonly requestId: number | string;
  readonly signal: AbortSignal;
  readonly presence: SubscribePresence | null;
  readonly pace: Pacer;
}

/** Serves a subscription by frames that bypass tRPC's own serialisation; resolves when it is over. */
export async function serveNatively(subscription: Subscription, options: NativeOptions): Promise<void> {
  const { channel, input, principal, watchOwner } = subscription;
  const { hub } = subscription.join;
  const { socket, requestId, signal, presence } = options;
  const over = Promise.withResolvers<void>();
  // It may be over, for a reason, before anybody waits for it.
  over.promise.catch(() => {});
  const stops: (() => void)[] = [];
  const joiner: Joiner = {
    signal,
    emit: (item) => options.pace(socket, frameFor(requestId, frameTail(item)), signal),
    attach() {
      const detach = channel.attach({ requestId, presence: input.presence, history: input.history }, socket);
      stops.push(detach);
      stops.push(channel.onEnd(over.resolve));
      stops.push(
        watchOwner(() => {
          detach();
          over.reject(new UsherError('TOPIC_UNKNOWN'));
        }),
      );
    },
  };
  const abort = (): void => over.resolve();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await join(joiner, subscription.join).catch(refuseAway);
    // One who did not get to join has reached the end.
    if (stops.length === 0 || signal.aborted) return;
    if (input.presence && presence) {
      const { connectionId } = socket;
      const entered = await presence.enter(input.topic, { connectionId, userId: principal.userId });
      stops.push(entered.exit);
      // Its own coming was told to the group it is in; what it still needs is who was there before.
      const others = (JSON.parse(entered.members) as Member[]).filter(
        (member) => member.userId !== principal.userId || member.connections > 1,
      );
      if (others.length > 0 && !signal.aborted && !channel.ended) {
        const change = JSON.stringify({ joined: others, left: [] });
        await joiner.emit({ id: hub.itemId(channel.position, channel.degraded), json: presenceJson(change) });
      }
    }
    await over.promise;
  } finally {
    signal.removeEventListener('abort', abort);
    for (const stop of stops) stop();
  }
}
