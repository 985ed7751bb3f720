import { nobody } from '../caller.ts';
import { Finding } from '../finding.ts';
import { tell } from '../http.ts';
import type { Visit } from '../visit.ts';

/** Each on a connection of its own: what a balancer makes of them is seen. */
const looks = 6;

export async function checkAlive({ http }: Visit): Promise<string> {
  const instances = new Set<string>();
  let version = '';
  for (let look = 0; look < looks; look += 1) {
    const answer = await http.send('GET', '/healthz', nobody);
    const data = answer.data as { status?: string; version?: string; instanceId?: string } | undefined;
    if (answer.status !== 200 || data?.status !== 'ok') {
      throw new Finding(`GET /healthz was answered ${tell(answer)}`, 'Is it an Usher that answers at this address?');
    }
    version = data.version ?? 'unknown';
    if (data.instanceId !== undefined) instances.add(data.instanceId);
  }
  const odd = await http.send('POST', '/healthz', nobody, '{');
  if (odd.status !== 200) {
    const hint = 'Usher answers health whatever is sent: something in between refuses it.';
    throw new Finding(`POST /healthz with half a body was answered ${odd.status}`, hint);
  }
  return `version ${version}, ${looks} looks met ${instances.size} instance${instances.size === 1 ? '' : 's'}`;
}

const hints: Readonly<Record<string, string>> = {
  redis: 'The instance does not reach its Redis: see REDIS_URL, and the lines "[Redis] away" of its log.',
  delivery: 'Redis answers commands and delivers nothing: see the ACL (channels, &usher:*) and the network in between.',
  draining: 'The instance was told to leave; a balancer that asks /readyz sends nobody to it.',
  eventLoop: 'The instance is overloaded: add instances, or look for a topic module that blocks.',
};

interface Check {
  readonly ok: boolean;
  readonly warning?: string;
}

export async function checkReady({ http, warn }: Visit): Promise<string> {
  const answer = await http.send('GET', '/readyz', nobody);
  const checks = Object.entries((answer.data as { checks?: Record<string, Check> } | undefined)?.checks ?? {});
  for (const [name, { warning }] of checks) if (warning !== undefined) warn(`${name}: ${warning}`);
  const failing = checks.filter(([, { ok }]) => !ok).map(([name]) => name);
  if (answer.status !== 200) {
    const hint = failing.map((name) => hints[name]).find((text) => text !== undefined) ?? null;
    throw new Finding(`GET /readyz was answered ${answer.status}: ${failing.join(', ') || 'no check failed'}`, hint);
  }
  return checks.map(([name]) => name).join(', ');
}

export async function checkMetrics({ http, warn }: Visit): Promise<string> {
  const { status } = await http.send('GET', '/metrics', nobody);
  if (status !== 200) return `not shown to strangers (${status})`;
  const { hostname } = new URL(http.url);
  const isHere = /^(127\.|localhost$|\[::1\]$)/.test(hostname);
  if (!isHere)
    warn('metrics: /metrics is shown at this address: set METRICS_TOKEN, or let the balancer refuse the path');
  return isHere ? 'shown to this machine' : 'shown to strangers';
}
