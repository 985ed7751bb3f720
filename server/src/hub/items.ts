import type { ResetReason } from '@usher/contracts';
import type { Entry } from '../topics/log.ts';
import { eventJson, type RawItem } from './frame.ts';

/**
 * Ids of items that are no logged event: `<position>~<something new>`. The 11.25 client drops an item whose id it has
 * just seen, and forgets its position at an item without one [trpc-wire.md, sections 1.2 and 5].
 */
export type ItemId = (position: string, degraded?: boolean) => string;

/** Marks the ids of what was told while Redis was away: who comes back with one need not be told, but told of the end. */
const degradedMark = '~-';

/** `random` keeps two instances apart, the count two items. */
export function createItemId(random: () => number = Math.random): ItemId {
  const instance = Math.floor(random() * 36 ** 6).toString(36);
  let count = 0;
  return (position, degraded = false) => {
    count += 1;
    return `${position}${degraded ? degradedMark : '~'}${instance}.${count.toString(36)}`;
  };
}

/** Whether whoever comes back with this id was last told that Redis is away. */
export const toldDegraded = (id: string | undefined): boolean => id?.includes(degradedMark) ?? false;

const listJson = (entries: readonly Entry[]): string => `[${entries.map(eventJson).join(',')}]`;

export const snapshotJson = (state: string | null, entries: readonly Entry[]): string =>
  `{"type":"snapshot","state":${state ?? 'null'},"events":${listJson(entries)}}`;

export const resumedJson = (replayed: number): string => `{"type":"resumed","replayed":${replayed}}`;

export const resetJson = (reason: ResetReason, state: string | null, entries: readonly Entry[]): string =>
  `{"type":"reset","reason":"${reason}","state":${state ?? 'null'},"events":${listJson(entries)}}`;

export const closedJson = (last: Entry | undefined): string =>
  last === undefined ? '{"type":"closed"}' : `{"type":"closed","event":${eventJson(last)}}`;

export const degradedJson = '{"type":"degraded"}';
export const restoredJson = '{"type":"restored"}';

/** An event that reached only this instance's subscribers: marked, and without a position of its own. */
export const localEventJson = (at: number, tail: string): string =>
  `{"type":"event","event":{"position":null,"at":${at},${tail},"durable":false}}`;

/** `change` is the JSON `{"joined":…,"left":…}` as presence published it. */
export const presenceJson = (change: string): string => `{"type":"presence",${change.slice(1)}`;

export type { RawItem };
