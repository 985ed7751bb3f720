import type { TopicEvent } from '@usher/contracts';

const statuses: Readonly<Record<string, string>> = {
  job_started: 'running',
  job_completed: 'completed',
  job_failed: 'failed',
  agent_started: 'running',
  agent_completed: 'completed',
};

/**
 * How events of topic `name` are folded into its state, unless the caller says otherwise: what those of the topics in the
 * box say about their status. A state that a publisher sets is richer.
 */
export const reducerOf =
  (name: string) =>
  (state: unknown, event: TopicEvent): unknown => {
    const status = /^(job|agent)$/.test(name) && Object.hasOwn(statuses, event.name) && statuses[event.name];
    const change = name === 'process' && event.name === 'status' ? event.data : status && { status };
    return change ? { ...(state as object | null), ...change } : state;
  };
