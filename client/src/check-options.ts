/** Refuses what would only show hours later: a timeout of NaN never fires, a multiplier below 1 is a storm. */
export function checkOptions(...groups: readonly (object | false | undefined)[]): void {
  for (const [name, value] of groups.flatMap((group) => Object.entries(group || {}))) {
    if (typeof value !== 'number' || value >= (name === 'multiplier' ? 1 : 0)) continue;
    throw new TypeError(`Option "${name}" is out of its range: current value is "${value}"`);
  }
}
