import { UsherError } from '@usher/contracts';
import { RedisAwayError } from '../redis/connection.ts';
import type { Entry, Head, Snapshot } from '../topics/log.ts';
import { isOlder, partsOf } from '../topics/position.ts';
import type { Channel } from './channel.ts';
import { eventItem, type RawItem } from './frame.ts';
import type { Hub } from './hub.ts';
import { closedJson, degradedJson, resetJson, restoredJson, resumedJson, snapshotJson } from './items.ts';

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
  /** The reader was last told that Redis is away. @default false */
  readonly toldDegraded?: boolean;
  /** Whether the reader may still read, asked of whatever is about to be shown. @default always */
  readonly mayRead?: (head: Pick<Head, 'made' | 'owner'>) => boolean;
  /** How long a channel may be behind the log before its gap is looked for. @default 1000 */
  readonly behindMs?: number;
}

/** Where a reader is, and what it believes. */
interface Reader {
  position: string;
  degraded: boolean;
}

/**
 * Brings a reader from a position to live delivery, without a gap and without a double.
 *
 * Pages of the log are emitted until the reader is where the channel is; the check and the joining are one turn of the
 * event loop, so that nothing is delivered in between. A position that cannot be continued is told, and replaced by a
 * snapshot. Ends without attaching where the topic has ended. Once something was said, it waits for a log that is away.
 *
 * @throws RedisAwayError when the log is needed for the first word and cannot be read
 * @throws UsherError TOPIC_UNKNOWN when the topic has become another's
 */
export async function join(joiner: Joiner, options: JoinOptions): Promise<void> {
  const { channel, hub } = options;
  const { signal } = joiner;
  const reader: Reader = { position: options.position ?? '', degraded: options.toldDegraded ?? false };
  let rereads = 0;
  await firstWord(joiner, options, reader);

  while (!signal.aborted) {
    // Both halves of it are told, or one who joins in between believes the wrong one for ever.
    if (reader.degraded !== channel.degraded && !channel.ended) {
      reader.degraded = channel.degraded;
      const json = reader.degraded ? degradedJson : restoredJson;
      await joiner.emit({ id: hub.itemId(reader.position, reader.degraded), json });
      continue;
    }
    const delivered = channel.since(reader.position);
    if (delivered !== undefined) {
      if (!(await isPermitted(options))) throw new UsherError('TOPIC_UNKNOWN');
      if (delivered.length > 0) {
        await emitAll(joiner, delivered, reader);
      } else if (channel.ended) {
        return endFor(joiner, options, reader, false);
      } else if (isThere(joiner, options, reader)) {
        return joiner.attach();
      }
      continue;
    }
    const page = await hub.read(channel.topic, reader.position).catch(unlessAway);
    if (signal.aborted) return;
    if (page === null) {
      if (await joinAt(joiner, options, reader)) return;
    } else if (!page.proven) {
      // What it was reading has ended; what is there under that name now is another topic.
      if (channel.ended) return endFor(joiner, options, reader, false);
      await reset(joiner, options, reader, page.reason);
    } else {
      permit(options, page);
      if (page.entries.length > 0) await emitAll(joiner, page.entries, reader);
      else if (page.closed || channel.ended) return endFor(joiner, options, reader, page.closed);
      // A channel that is ahead has heard what came after this read, or is wrong about it and must look.
      else if (isOlder(reader.position, channel.position) && rereads === 0) rereads += 1;
      else if (await joinAt(joiner, options, reader)) return;
      else rereads = 0;
    }
  }
}

/** `snapshot`, `resumed` or `reset`. */
async function firstWord(joiner: Joiner, options: JoinOptions, reader: Reader): Promise<void> {
  const { channel, hub, maxReplayEvents } = options;
  if (options.position === undefined) {
    const snapshot = await snapshotFor(options);
    permit(options, snapshot);
    reader.position = snapshot.last;
    const json = snapshotJson(snapshot.state, snapshot.entries);
    return joiner.emit({ id: hub.itemId(reader.position), json });
  }
  let missed = channel.since(reader.position)?.length;
  if (missed === undefined) {
    const page = await hub.read(channel.topic, reader.position);
    if (!page.proven) return reset(joiner, options, reader, page.reason);
    permit(options, page);
    // Numbered by one, and proven to be one log: the difference is what was missed.
    missed = partsOf(page.last).seq - partsOf(reader.position).seq;
  }
  if (missed > maxReplayEvents) return reset(joiner, options, reader, 'limit');
  hub.joined.replayed(missed);
  await joiner.emit({ id: hub.itemId(reader.position, reader.degraded), json: resumedJson(missed) });
}

async function reset(
  joiner: Joiner,
  options: JoinOptions,
  reader: Reader,
  reason: Parameters<typeof resetJson>[0],
): Promise<void> {
  const { hub, channel, history, load } = options;
  const snapshot = await hub.snapshot(channel.topic, history);
  permit(options, snapshot);
  const state = snapshot.state ?? (load ? await load() : null);
  reader.position = snapshot.last;
  reader.degraded = false;
  hub.joined.reset(reason);
  await joiner.emit({ id: hub.itemId(reader.position), json: resetJson(reason, state, snapshot.entries) });
}

/** From memory where this instance knows enough, or where its memory is all there is; else from the log. */
async function snapshotFor({ channel, hub, history, load, mayRead }: JoinOptions): Promise<Snapshot> {
  let snapshot = channel.localSnapshot(history, !hub.available) ?? null;
  // This instance may not have heard yet whose the topic is.
  if (snapshot && mayRead && !mayRead(snapshot)) snapshot = null;
  snapshot ??= await hub.snapshot(channel.topic, history).catch(unlessAway);
  snapshot ??= channel.localSnapshot(history, true) as Snapshot;
  if (snapshot.state !== null || load === undefined) return snapshot;
  return { ...snapshot, state: await load() };
}

async function emitAll(joiner: Joiner, entries: readonly Entry[], reader: Reader): Promise<void> {
  for (const entry of entries) {
    if (joiner.signal.aborted) return;
    const wait = joiner.emit(eventItem(entry));
    if (wait !== undefined) await wait;
    reader.position = entry.position;
  }
}

/** `closed` where the topic has ended, and nothing where merely this instance has; the log may know before the channel. */
async function endFor(
  joiner: Joiner,
  { channel, hub }: JoinOptions,
  { position }: Reader,
  closed: boolean,
): Promise<void> {
  const json = channel.closedJson ?? (closed ? closedJson(undefined) : null);
  if (json !== null) await joiner.emit({ id: hub.itemId(position), json });
}

/**
 * The reader is at the log's end, as far as that can be known, and the channel is not there yet: it joins when the
 * channel arrives. A channel that does not arrive has missed something and looks for it.
 */
function joinAt(joiner: Joiner, options: JoinOptions, reader: Reader): Promise<boolean> {
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
    const stopWaiting = channel.waitFor(reader.position, () => {
      const there = isThere(joiner, options, reader);
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

/** What must hold in the very turn in which a reader joins. */
function isThere(joiner: Joiner, { channel, mayRead }: JoinOptions, { position, degraded }: Reader): boolean {
  return (
    channel.position === position &&
    channel.degraded === degraded &&
    !channel.ended &&
    !joiner.signal.aborted &&
    (mayRead?.(channel) ?? true)
  );
}

function permit({ mayRead }: JoinOptions, head: Pick<Head, 'made' | 'owner'>): void {
  if (mayRead && !mayRead(head)) throw new UsherError('TOPIC_UNKNOWN');
}

/** The channel may not have heard yet whose the topic is: then the log is asked. */
async function isPermitted({ mayRead, channel }: JoinOptions): Promise<boolean> {
  if (!mayRead || mayRead(channel)) return true;
  await channel.verify();
  return mayRead(channel);
}

function unlessAway(cause: unknown): null {
  if (cause instanceof RedisAwayError) return null;
  throw cause;
}
