import { badRequest, boxedTopics, parseTopicName, type TopicDefinition, UsherError } from '@usher/contracts';

/** A topic's name resolved to what is defined for it. */
export interface ResolvedTopic {
  readonly topic: string;
  readonly id: string;
  readonly definition: TopicDefinition;
}

export interface Definitions {
  /** @throws UsherError BAD_REQUEST, TOPIC_UNKNOWN */
  resolve(topic: string): ResolvedTopic;
  find(topic: string): ResolvedTopic | undefined;
}

/** The boxed topics and those an application adds; a later definition of a name replaces the earlier. */
export function createDefinitions(more: readonly TopicDefinition[] = []): Definitions {
  const byName = new Map<string, TopicDefinition>();
  for (const definition of [...Object.values(boxedTopics), ...more]) {
    byName.set(definition.name, definition as TopicDefinition);
  }
  const find = (topic: string): ResolvedTopic | undefined => {
    const name = parseTopicName(topic);
    if (name === null) throw badRequest('topic', 'Wanted a topic of the form "name:id"');
    const definition = byName.get(name.name);
    if (definition === undefined || !definition.params.safeParse(name.id).success) return undefined;
    return { topic, id: name.id, definition };
  };
  return {
    find,
    resolve(topic) {
      const resolved = find(topic);
      if (resolved === undefined) throw new UsherError('TOPIC_UNKNOWN');
      return resolved;
    },
  };
}
