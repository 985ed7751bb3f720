import type { Callers } from './caller.ts';
import { Finding, LeftOut } from './finding.ts';
import type { Http } from './http.ts';
import type { DoctorOptions } from './options.ts';
import { checkConcurrency, checkEvents, checkResume } from './steps/events.ts';
import { checkAlive, checkMetrics, checkReady } from './steps/health.ts';
import { checkIsolation } from './steps/isolation.ts';
import { checkIdle, checkPaths } from './steps/paths.ts';
import { checkPolling } from './steps/polling.ts';
import { checkSignIn } from './steps/sign-in.ts';
import { checkOnce, checkTicket } from './steps/ticket.ts';
import { createVisit, type Visit } from './visit.ts';

export interface StepResult {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'left out';
  /** What was done, what was found, or why it was left out. */
  readonly text: string;
  readonly hint: string | null;
}

interface Step {
  readonly name: string;
  readonly run: (visit: Visit) => Promise<string>;
  /** Steps without which this one can find nothing new. */
  readonly after: readonly string[];
}

const socket = ['sign-in', 'ticket'];

const steps: readonly Step[] = [
  { name: 'health', run: checkAlive, after: [] },
  { name: 'readiness', run: checkReady, after: ['health'] },
  { name: 'metrics', run: checkMetrics, after: ['health'] },
  { name: 'sign-in', run: checkSignIn, after: ['health'] },
  { name: 'ticket', run: checkTicket, after: ['sign-in'] },
  { name: 'one use', run: checkOnce, after: socket },
  { name: 'paths', run: checkPaths, after: socket },
  { name: 'events', run: checkEvents, after: socket },
  { name: 'resume', run: checkResume, after: [...socket, 'events'] },
  { name: 'isolation', run: checkIsolation, after: ['sign-in'] },
  { name: 'concurrency', run: checkConcurrency, after: [...socket, 'events'] },
  { name: 'polling', run: checkPolling, after: ['sign-in'] },
  { name: 'idle', run: checkIdle, after: socket },
];

export interface Diagnosis {
  readonly url: string;
  readonly steps: readonly StepResult[];
  readonly warnings: readonly string[];
}

/** Goes through all steps, one after the other; tells each when it is done. */
export async function diagnose(
  options: DoctorOptions,
  parts: { readonly http: Http; readonly callers: Callers },
  onStep: (result: StepResult) => void,
): Promise<Diagnosis> {
  const visit = createVisit(options, parts.http, parts.callers);
  const results: StepResult[] = [];
  const isBad = (name: string): boolean => results.some((it) => it.name === name && it.outcome !== 'passed');
  for (const step of steps) {
    const result = await take(step, visit, step.after.find(isBad));
    results.push(result);
    onStep(result);
  }
  await visit.deleteTopics();
  return { url: options.url, steps: results, warnings: visit.warnings };
}

async function take({ name, run }: Step, visit: ReturnType<typeof createVisit>, missing?: string): Promise<StepResult> {
  if (missing !== undefined) return { name, outcome: 'left out', text: `"${missing}" did not pass`, hint: null };
  if (name === 'idle' && visit.options.idleMs === 0) {
    return { name, outcome: 'left out', text: 'not asked for: --idle <seconds>', hint: null };
  }
  try {
    return { name, outcome: 'passed', text: await run(visit), hint: null };
  } catch (error) {
    if (error instanceof LeftOut) return { name, outcome: 'left out', text: error.message, hint: null };
    if (error instanceof Finding) return { name, outcome: 'failed', text: error.message, hint: error.hint };
    const said = error instanceof Error ? error.message : String(error);
    return { name, outcome: 'failed', text: `The answer was not what Usher answers (${said})`, hint: null };
  } finally {
    await visit.closeSockets();
  }
}
