import { readFileSync } from 'node:fs';

/** The version of this package, as `/readyz` and the metrics tell it. */
export const version: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
