import type { UsherOptions } from './usher.ts';

/** Refuses what would only show hours later: a timeout of NaN never fires, a multiplier below 1 is a storm. */
export function checkOptions(options: UsherOptions): void {
  for (const [name, value] of Object.entries(options)) checkNumbers(name, value);
  const { initialMs = 0, maxMs = Number.POSITIVE_INFINITY, multiplier = 1 } = options.retry ?? {};
  if (initialMs > maxMs) throw wrong('retry.initialMs', 'at most retry.maxMs', initialMs);
  if (multiplier < 1) throw wrong('retry.multiplier', 'at least 1', multiplier);
}

function checkNumbers(path: string, value: unknown): void {
  if (typeof value === 'number' && !(value >= 0)) throw wrong(path, 'a number of at least 0', value);
  if (Object.getPrototypeOf(value ?? 0) !== Object.prototype) return;
  for (const [name, inner] of Object.entries(value as object)) checkNumbers(`${path}.${name}`, inner);
}

const wrong = (name: string, wanted: string, value: unknown) =>
  new TypeError(`Option "${name}" must be ${wanted}: current value is "${value}"`);
