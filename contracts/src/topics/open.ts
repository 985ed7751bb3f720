import { z } from 'zod';
import { defineTopic } from './define.ts';

/** A user's own topic: any events, any JSON. */
export const user = defineTopic({ name: 'user', state: z.unknown(), events: 'any', access: 'user' });

/** Open to every signed-in caller: any events, any JSON. */
export const publicTopic = defineTopic({ name: 'public', state: z.unknown(), events: 'any', access: 'everyone' });

/** One topic, `announcement:all`, to every signed-in caller. */
export const announcement = defineTopic({
  name: 'announcement',
  params: z.literal('all'),
  state: z.unknown(),
  events: 'any',
  access: 'everyone',
});
