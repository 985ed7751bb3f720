import { Finding } from '../finding.ts';
import { upgradeStatus } from '../socket.ts';
import type { Visit } from '../visit.ts';

const paths = ['/trpc', '/ws', '/websocket'];

export async function checkPaths({ http, connect, options }: Visit): Promise<string> {
  for (const path of paths) await (await connect(path)).ping();
  const elsewhere = await upgradeStatus(http.url, '/elsewhere', options.timeoutMs);
  if (elsewhere === 101)
    throw new Finding('An upgrade on /elsewhere was taken', 'Something in between takes upgrades itself.');
  return `${paths.join(', ')} open and answer PING; /elsewhere is refused (${elsewhere})`;
}

export async function checkIdle({ connect, options }: Visit): Promise<string> {
  const socket = await connect();
  await new Promise((resolve) => setTimeout(resolve, options.idleMs));
  const hint = 'A proxy in between cuts quiet connections: its timeout must be above HEARTBEAT_INTERVAL_MS, 30 s.';
  if (!socket.isOpen) throw new Finding(`A quiet connection was closed within ${options.idleMs / 1_000} s`, hint);
  await socket.ping();
  return `a quiet connection stood for ${options.idleMs / 1_000} s`;
}
