import { limits } from './limits.ts';

const namePattern = /^[a-z][a-z0-9_-]*$/;
// Braces would break Redis Cluster's hash tag, `*` is the grant pattern's, control characters and spaces the frames'.
// Halves of a surrogate pair all become the same character in Redis, and different topics one.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
const idPattern = /^[^\s{}*\u0000-\u001f\u007f\p{Cs}]+$/u;

/** The two halves of a topic, `job:42` → `{ name: 'job', id: '42' }`. */
export interface TopicName {
  readonly name: string;
  readonly id: string;
}

/** Splits a topic at its first colon; `null` when it is not of the form `name:id`. */
export function parseTopicName(topic: string): TopicName | null {
  const colon = topic.indexOf(':');
  if (colon < 1) return null;
  const name = topic.slice(0, colon);
  const id = topic.slice(colon + 1);
  if (name.length > limits.maxTopicNameLength || !namePattern.test(name)) return null;
  if (id.length > limits.maxTopicIdLength || !idPattern.test(id)) return null;
  return { name, id };
}
