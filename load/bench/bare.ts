import { fileURLToPath } from 'node:url';
import { type Child, spawnChild } from '../../test/harness/child.ts';

export interface BareServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

/** Starts a control, `bare-….ts` beside this file, as a process of its own. */
export async function startBare(file: string, env: Readonly<Record<string, string>> = {}): Promise<BareServer> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child: Child = spawnChild([process.execPath, path], { env: { PATH: process.env.PATH ?? '', ...env } });
  const line = await child.line((text) => text.includes('"listening"'));
  const { url } = JSON.parse(line) as { readonly url: string };
  return { url, pid: child.pid, [Symbol.asyncDispose]: child.kill };
}
