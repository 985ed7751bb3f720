import { check } from 'k6';

/** One named check; the thresholds of a script say how many may fail. */
export const expect = (what: string, holds: boolean): boolean => check(null, { [what]: () => holds });
