import { pause } from '../call.ts';
import type { Instance } from '../service/fleet.ts';
import type { Fault, FaultContext } from './fault.ts';

const victim = ({ fleet, random }: FaultContext): Instance => random.pick(fleet.instances);

/** The others serve while it is away; where there are none, it is back before the fault counts as ended. */
const away = async ({ fleet }: FaultContext, instance: Instance) => {
  if (fleet.instances.length > 1) return { after: () => instance.start() };
  await instance.start();
  return {};
};

export const killServer: Fault = async (context) => {
  const instance = victim(context);
  await instance.kill();
  return { note: `SIGKILL of ${instance.name}`, ...(await away(context, instance)) };
};

export const endServer: Fault = async (context) => {
  const instance = victim(context);
  const exitCode = await instance.leave();
  if (exitCode !== 0) {
    const detail = exitCode === null ? 'did not leave' : `left with exit code ${exitCode}`;
    context.findings.add('protocol', { topic: 'SIGTERM', who: instance.name }, detail);
  }
  return { note: `SIGTERM of ${instance.name}`, ...(await away(context, instance)) };
};

export const freezeServer: Fault = async (context) => {
  const instance = victim(context);
  const ms = context.random.int(1_000, 7_000);
  instance.freeze();
  await pause(ms, context.signal);
  instance.thaw();
  return { note: `SIGSTOP of ${instance.name} for ${ms} ms` };
};
