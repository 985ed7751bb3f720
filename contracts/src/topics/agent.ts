import { z } from 'zod';
import { defineTopic } from './define.ts';

/** The steps of an agent's run; ends with `agent_completed`. */
export const agent = defineTopic({
  name: 'agent',
  state: z.looseObject({ status: z.string().optional() }),
  events: {
    agent_started: z.looseObject({}),
    agent_thinking: z.looseObject({ text: z.string().optional() }),
    tool_executing: z.looseObject({ tool: z.string(), input: z.unknown().optional() }),
    tool_completed: z.looseObject({
      tool: z.string(),
      output: z.unknown().optional(),
      durationMs: z.number().optional(),
    }),
    agent_completed: z.looseObject({ result: z.unknown().optional() }),
  },
  terminal: ['agent_completed'],
});
