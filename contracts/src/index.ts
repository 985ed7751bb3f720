export { type ClientAction, type Code, type CodeEntry, codes, isCode } from './codes.ts';
export { badRequest, type Issue, UsherError, type UsherErrorOptions } from './error.ts';
export type * from './inputs.ts';
export type * from './items.ts';
export { limits, upgradePaths } from './limits.ts';
export * from './ports.ts';
export { describeError, type ErrorDescription, type UsherRouter, usherRouter } from './router.ts';
export { parseTopicName, type TopicName } from './topic-name.ts';
export { agent } from './topics/agent.ts';
export { type BoxedTopics, boxedTopics } from './topics/boxed.ts';
export {
  defineTopic,
  type TopicAccess,
  type TopicDefinition,
  type TopicEvents,
  type TopicOptions,
} from './topics/define.ts';
export { job } from './topics/job.ts';
export { announcement, publicTopic, user } from './topics/open.ts';
export { process } from './topics/process.ts';
