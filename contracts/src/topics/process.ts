import { z } from 'zod';
import { defineTopic } from './define.ts';

/** Output of a process; it ends by `topic.close`, since output may still arrive after the exit was seen. */
export const process = defineTopic({
  name: 'process',
  state: z.looseObject({
    status: z.enum(['running', 'exited', 'killed']).optional(),
    exitCode: z.number().nullable().optional(),
  }),
  events: {
    output: z.looseObject({ stream: z.enum(['stdout', 'stderr']), data: z.string() }),
    status: z.looseObject({
      status: z.enum(['running', 'exited', 'killed']),
      exitCode: z.number().nullable().optional(),
    }),
  },
});
