import { fileURLToPath } from 'node:url';
import { type Child, spawnChild } from '../test/harness/child.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface UsherProcess extends AsyncDisposable {
  readonly url: string;
  readonly child: Child;
}

/** Starts the real service as a process of its own, on a free port; nothing of this process' environment reaches it. */
export async function startUsher(env: Readonly<Record<string, string>> = {}): Promise<UsherProcess> {
  const child = spawnChild([process.execPath, 'server/src/main.ts'], {
    cwd: root,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', PORT: '0', ...env },
  });
  try {
    const line = await child.line((text) => text.includes('"msg":"listening"'));
    const { url } = JSON.parse(line) as { readonly url: string };
    return { url, child, [Symbol.asyncDispose]: () => child.kill() };
  } catch (error) {
    await child.kill();
    throw error;
  }
}
