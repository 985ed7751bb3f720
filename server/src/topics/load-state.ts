import { type TopicDefinition, UsherError } from '@usher/contracts';
import { within } from '../redis/line.ts';
import type { Definitions } from './definitions.ts';

/** The application's state of a topic as JSON; `undefined` where its definition gives no `load`. */
export type LoadState = (topic: string) => (() => Promise<string | null>) | undefined;

/** An application that does not answer by then has no state to give. */
const loadTimeoutMs = 5_000;

export function createLoadState(definitions: Definitions): LoadState {
  return (topic) => {
    const resolved = definitions.find(topic);
    const load: TopicDefinition['load'] = resolved?.definition.load;
    if (resolved === undefined || load === undefined) return undefined;
    return async () => {
      const loaded = Promise.resolve(resolved.id).then(load);
      const state = await within(
        loaded,
        loadTimeoutMs,
        () => new UsherError('INTERNAL', { message: 'The application gave no state in time' }),
      );
      return state === undefined ? null : JSON.stringify(state);
    };
  };
}
