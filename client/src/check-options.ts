/** Refuses what would only show hours later: a timeout of NaN never fires, a multiplier below 1 is a storm. */
export function checkOptions(value: unknown, path = ''): void {
  if (typeof value === 'number' && !(value >= (path === 'retry.multiplier' ? 1 : 0))) {
    throw new TypeError(`Option "${path}" must be a number that is not less: current value is "${value}"`);
  }
  // Only plain objects hold options; a clock or an environment of the caller's is not looked into.
  if (!Array.isArray(value) && Object.getPrototypeOf(value ?? 0) !== Object.prototype) return;
  for (const [name, inner] of Object.entries(value as object)) checkOptions(inner, path ? `${path}.${name}` : name);
}
