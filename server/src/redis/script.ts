import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { RedisScript } from './connection.ts';

/** Reads a script, once, from the `.lua` file beside its caller: `loadScript(new URL('./append.lua', import.meta.url))`. */
export function loadScript(file: URL): RedisScript {
  const lua = readFileSync(file, 'utf8');
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}
