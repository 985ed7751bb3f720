import type { ResetReason } from '@usher/contracts';
import type { Entry, Snapshot } from '../topics/log.ts';
import { partsOf } from '../topics/position.ts';
import type { Channel } from './channel.ts';
import { eventItem, type RawItem } from './frame.ts';
import type { Hub } from './hub.ts';
import { degradedJson, resetJson, restoredJson, resumedJson, snapshotJson } from './items.ts';

/** One who wants to be brought to where the channel is, and then live. */
export interface Joiner {
  /** Takes one item, in order. A promise means: wait, there is too much under way. */
  emit(item: RawItem): void | Promise<void>;
  /** Called in the moment everything before has been emitted; what follows comes from the channel. */
  attach(): void;
  readonly signal: AbortSignal;
}

export interface JoinOptions {
  readonly channel: Channel;
  readonly hub: Hub;
  /** Where the reader is; `undefined`: nowhere yet. */
  readonly position: string | undefined;
  readonly history: number;
  readonly maxReplayEvents: number;
  /** The application's state where the log holds none. */
  readonly load: (() => Promise<string | null>) | undefined;
  /** How long a channel may be behind the log before its gap is looked for. @default 1000 */
  readonly behindMs?: number;
}

/**
 * Brings a reader from a position to live delivery, without a gap and without a double.
 *
 * Pages of the log are emitted until the reader is where the channel is; the check and the joining are one turn of the
 * event loop, so that nothing is delivered in between. A position that cannot be continued is told, and replaced by a
 * snapshot. Ends without attaching where the topic has ended.
 *
 * @throws RedisAwayError when the log is needed and cannot be read
 */
export async function join(joiner: Joiner, options: JoinOptions): Promise<void> {
  const { channel, hub } = options;
  let position: string;
  if (options.position === undefined) {
    const snapshot = await snapshotFor(options);
    position = snapshot.last;
    await joiner.emit({ id: hub.itemId(position), json: snapshotJson(snapshot.state, snapshot.entries) });
  } else {
    position = await resume(joiner, options, options.position);
  }
  let told = channel.degraded;
  if (told) await joiner.emit({ id: hub.itemId(position), json: degradedJson });
  // The state may have changed on the way: one who joins without a word would never hear the other half of it.
  const attach = (): void => {
    if (told !== channel.degraded) {
      void joiner.emit({ id: hub.itemId(position), json: told ? restoredJson : degradedJson });
    }
    joiner.attach();
  };

  while (!joiner.signal.aborted) {
    const delivered = channel.since(position);
    if (delivered?.length === 0) {
      if (channel.ended) await endFor(joiner, channel);
      else attach();
      return;
    }
    if (delivered !== undefined) {
      position = await emitAll(joiner, delivered, position);
      continue;
    }
    const page = await hub.read(channel.topic, position);
    if (joiner.signal.aborted) return;
    if (!page.proven) {
      position = await reset(joiner, options, page.reason);
      told = false;
    } else if (page.entries.length > 0) {
      position = await emitAll(joiner, page.entries, position);
    } else if (page.closed || channel.ended) {
      await endFor(joiner, channel);
      return;
    } else if (await joinAt({ signal: joiner.signal, attach }, options, position)) {
      return;
    }
  }
}

/** The first word to a reader that comes with a position. */
async function resume(joiner: Joiner, options: JoinOptions, position: string): Promise<string> {
  const { channel, hub } = options;
  const delivered = channel.since(position);
  if (delivered !== undefined) {
    if (delivered.length > options.maxReplayEvents) return reset(joiner, options, 'limit');
    await joiner.emit({ id: hub.itemId(position), json: resumedJson(delivered.length) });
    return position;
  }
  const page = await hub.read(channel.topic, position);
  if (!page.proven) return reset(joiner, options, page.reason);
  // Numbered by one, and proven to be one log: the difference is what was missed.
  const missed = partsOf(page.last).seq - partsOf(position).seq;
  if (missed > options.maxReplayEvents) return reset(joiner, options, 'limit');
  await joiner.emit({ id: hub.itemId(position), json: resumedJson(missed) });
  return emitAll(joiner, page.entries, position);
}

async function reset(joiner: Joiner, options: JoinOptions, reason: ResetReason): Promise<string> {
  const snapshot = await options.hub.snapshot(options.channel.topic, options.history);
  const state = snapshot.state ?? (options.load ? await options.load() : null);
  await joiner.emit({
    id: options.hub.itemId(snapshot.last),
    json: resetJson(reason, state, snapshot.entries),
  });
  return snapshot.last;
}

/** From memory where this instance knows enough, or where its memory is all there is; else from the log. */
async function snapshotFor({ channel, hub, history, load }: JoinOptions): Promise<Snapshot> {
  const local = channel.localSnapshot(history, !hub.available);
  const snapshot = local ?? (await hub.snapshot(channel.topic, history));
  if (snapshot.state !== null || load === undefined) return snapshot;
  return { ...snapshot, state: await load() };
}

async function emitAll(joiner: Joiner, entries: readonly Entry[], position: string): Promise<string> {
  let at = position;
  for (const entry of entries) {
    if (joiner.signal.aborted) return at;
    const wait = joiner.emit(eventItem(entry));
    if (wait !== undefined) await wait;
    at = entry.position;
  }
  return at;
}

async function endFor(joiner: Joiner, channel: Channel): Promise<void> {
  if (channel.closedItem) await joiner.emit(channel.closedItem);
}

/**
 * The reader is at the log's end and the channel is not there yet: it joins when the channel arrives. A channel that does
 * not arrive has missed something and looks for it.
 */
function joinAt(joiner: Pick<Joiner, 'signal' | 'attach'>, options: JoinOptions, position: string): Promise<boolean> {
  const { channel } = options;
  return new Promise((resolve) => {
    const finish = (joined: boolean): void => {
      clearTimeout(timer);
      stopWaiting();
      stopListening();
      joiner.signal.removeEventListener('abort', giveUp);
      resolve(joined);
    };
    const giveUp = (): void => finish(false);
    const stopWaiting = channel.waitFor(position, () => {
      const there = channel.position === position && !channel.ended && !joiner.signal.aborted;
      if (there) joiner.attach();
      finish(there);
    });
    const stopListening = channel.onEnd(giveUp);
    joiner.signal.addEventListener('abort', giveUp);
    const timer = setTimeout(() => {
      void channel.verify().then(giveUp, giveUp);
    }, options.behindMs ?? 1_000);
  });
}
