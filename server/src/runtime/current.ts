import type { Runtime } from './runtime.ts';

/** The runtime this process runs on; each is imported only where it is. @throws TypeError on any other */
export async function currentRuntime(): Promise<Runtime> {
  if ('Bun' in globalThis) return (await import('./bun.ts')).bunRuntime;
  if ('Deno' in globalThis) return (await import('./deno.ts')).denoRuntime;
  throw new TypeError('Wanted Bun or Deno: the server runs on their WebSocket servers');
}
