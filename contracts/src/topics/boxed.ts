import { agent } from './agent.ts';
import { job } from './job.ts';
import { announcement, publicTopic, user } from './open.ts';
import { process } from './process.ts';

/** The topics every Usher knows, by name. A client imports only their type. */
export const boxedTopics = { job, process, agent, user, public: publicTopic, announcement } as const;

export type BoxedTopics = typeof boxedTopics;
