import type { TopicEvent } from '@usher/contracts';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown) => value as Fields | null;

/** What an event of the topics in the box says about their state; a state that a publisher sets is richer. */
const statuses: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  job: { job_started: 'running', job_completed: 'completed', job_failed: 'failed' },
  agent: { agent_started: 'running', agent_completed: 'completed' },
};

/** How events of topic `name` are folded into its state, unless the caller says otherwise. */
export function reducerOf(name: string): (state: unknown, event: TopicEvent) => unknown {
  if (name === 'process') {
    return (state, { name, data }) => (name === 'status' ? { ...fields(state), ...fields(data) } : state);
  }
  const table = statuses[name] ?? {};
  return (state, event) => {
    const status = Object.hasOwn(table, event.name) ? table[event.name] : undefined;
    return status === undefined ? state : { ...fields(state), status };
  };
}
