import { constants } from 'node:os';
import process from 'node:process';
import type { Departure } from './boot.ts';

// The whole program is loaded by the import below, which takes a while. Signals come first: process 1 of a container
// that has no handler yet ignores them, and is killed a grace period later.
let departure: Departure | null = null;
let toldAt: number | null = null;

/** One Ctrl-C comes twice: from the terminal, and from the program that started this one. */
const sameSignalMs = 100;

async function leave(signal: 'SIGTERM' | 'SIGINT'): Promise<void> {
  const at = performance.now();
  if (toldAt === null) {
    toldAt = at;
    // Before anybody was served there is nobody to wait for.
    await departure?.leave(signal);
    process.exit(0);
  } else if (at - toldAt > sameSignalMs) {
    await departure?.cutShort(signal);
    process.exit(128 + constants.signals[signal]);
  }
}

process.on('SIGTERM', () => void leave('SIGTERM'));
process.on('SIGINT', () => void leave('SIGINT'));

const { boot } = await import('./boot.ts');
departure = await boot();
