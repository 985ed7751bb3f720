import type { Logger } from 'pino';
import { ErrorReply } from 'redis';
import { within } from './line.ts';
import type { Dispatch, NodeClient } from './single.ts';

export interface ClusterChannelsOptions {
  /** The client of the primary that has the channel's slot; `null` while it is away. */
  readonly clientOf: (channel: string) => NodeClient | null;
  /** The client of that channel does not confirm: nobody knows what it is subscribed to. */
  readonly restart: (channel: string, client: NodeClient) => void;
  readonly timeoutMs: number;
  readonly log: Logger;
}

/** What a cluster is subscribed to, kept where the slots are. */
export interface ClusterChannels {
  /** A channel does not stand where it should, and was not to be brought there. */
  readonly isBehind: boolean;
  /** @throws what Redis answers; the channel is then not kept */
  subscribe(client: NodeClient, channel: string, dispatch: Dispatch): Promise<void>;
  unsubscribe(channel: string, dispatch: Dispatch): Promise<void>;
  /** Redis took the channel away from this client. */
  lost(channel: string, client: NodeClient): void;
  /** Brings every channel to where its slot is; `missed`: a primary came (back), so something may have been missed. */
  settle(missed: boolean): void;
  /** Called when channels have been brought elsewhere: what was published in between was not heard. */
  onMended(listener: () => void): void;
  close(): void;
}

interface Kept {
  readonly dispatch: Dispatch;
  /** The client that has confirmed it. */
  standsOn: NodeClient | null;
}

export function createClusterChannels({ clientOf, restart, timeoutMs, log }: ClusterChannelsOptions): ClusterChannels {
  const kept = new Map<string, Kept>();
  /** One command a channel at a time: see `createSubscriptions`. */
  const turns = new Map<string, Promise<unknown>>();
  let mended: (() => void) | undefined;
  let settling = false;
  let again = false;
  let moved = false;
  let behind = false;
  let closed = false;

  const inTurn = <T>(channel: string, act: () => Promise<T>): Promise<T> => {
    const turn = (turns.get(channel) ?? Promise.resolve()).then(act, act);
    turns.set(channel, turn);
    const done = (): void => {
      if (turns.get(channel) === turn) turns.delete(channel);
    };
    turn.then(done, done);
    return turn;
  };

  const confirm = async (client: NodeClient, channel: string, dispatch: Dispatch): Promise<void> => {
    try {
      const late = () => new Error(`No answer within ${timeoutMs} ms`);
      await within(client.subscribe([channel], dispatch), timeoutMs, late);
    } catch (cause) {
      if (!(cause instanceof ErrorReply)) restart(channel, client);
      throw cause;
    }
  };

  const move = (channel: string, one: Kept): Promise<void> =>
    inTurn(channel, async () => {
      const client = clientOf(channel);
      if (closed || kept.get(channel) !== one || client === null || one.standsOn === client) return;
      const { standsOn } = one;
      one.standsOn = null;
      await confirm(client, channel, one.dispatch);
      one.standsOn = client;
      moved = true;
      // Where the slot was it may still stand, and is then heard twice, which the hub would only throw away.
      if (standsOn !== null) void standsOn.unsubscribe(channel, one.dispatch).catch(() => {});
    });

  const settle = async (): Promise<void> => {
    do {
      again = false;
      const moves = [...kept].filter(([channel, { standsOn }]) => {
        const client = clientOf(channel);
        return client !== null && client !== standsOn;
      });
      // What fails stays where it is not: the next look at the slots, which is never far, finds it.
      const results = await Promise.allSettled(moves.map(([channel, one]) => move(channel, one)));
      const failure = results.find((result) => result.status === 'rejected');
      behind = failure !== undefined;
      if (failure) log.debug({ err: failure.reason }, '[Redis] a subscription could not follow its slot yet');
    } while (again && !closed);
    settling = false;
    if (!moved || closed) return;
    moved = false;
    mended?.();
  };

  return {
    get isBehind() {
      return behind;
    },
    subscribe: (client, channel, dispatch) =>
      inTurn(channel, async () => {
        await confirm(client, channel, dispatch);
        kept.set(channel, { dispatch, standsOn: client });
      }),
    unsubscribe: (channel, dispatch) =>
      inTurn(channel, async () => {
        const client = kept.get(channel)?.standsOn;
        kept.delete(channel);
        if (client) await within(client.unsubscribe(channel, dispatch), timeoutMs, () => new Error('No answer'));
      }),
    lost(channel, client) {
      const one = kept.get(channel);
      if (one?.standsOn !== client) return;
      one.standsOn = null;
      behind = true;
    },
    settle(missed) {
      if (missed) moved = true;
      again = true;
      if (settling || closed) return;
      settling = true;
      void settle();
    },
    onMended(listener) {
      mended = listener;
    },
    close() {
      closed = true;
      kept.clear();
    },
  };
}
