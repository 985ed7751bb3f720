import { z } from 'zod';
import { defineTopic } from './define.ts';

/** Work with progress over files; ends with `job_completed` or `job_failed`. */
export const job = defineTopic({
  name: 'job',
  state: z.looseObject({
    status: z.enum(['pending', 'running', 'completed', 'failed']),
    progress: z.number().optional(),
  }),
  events: {
    job_started: z.looseObject({ totalFiles: z.number().optional() }),
    file_processing: z.looseObject({ file: z.string(), index: z.number().optional(), total: z.number().optional() }),
    file_completed: z.looseObject({ file: z.string() }),
    error: z.looseObject({ message: z.string(), file: z.string().optional() }),
    job_failed: z.looseObject({ message: z.string() }),
    job_completed: z.looseObject({}),
  },
  terminal: ['job_completed', 'job_failed'],
});
