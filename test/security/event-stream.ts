import type { Target } from '../harness/http.ts';
import { eventually } from '../harness/wait.ts';

/** A subscription read as server-sent events. */
export interface EventStream {
  readonly status: number;
  /** All that came so far. */
  readonly text: () => string;
  readonly isOver: () => boolean;
  readonly until: (accepts: (text: string) => boolean) => Promise<unknown>;
  readonly close: () => void;
}

export async function readStream(
  target: Target,
  input: Readonly<Record<string, unknown>>,
  token: string | undefined,
): Promise<EventStream> {
  const controller = new AbortController();
  const response = await fetch(
    `${target.url}/trpc/topic.subscribe?input=${encodeURIComponent(JSON.stringify(input))}`,
    {
      headers: { accept: 'text/event-stream', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      signal: controller.signal,
    },
  );
  let text = '';
  let isOver = false;
  const decoder = new TextDecoder();
  const read = async (): Promise<void> => {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true });
  };
  read()
    .catch(() => {})
    .finally(() => {
      isOver = true;
    });
  return {
    status: response.status,
    text: () => text,
    isOver: () => isOver,
    until: (accepts) => eventually(() => accepts(text), { what: () => `a stream; it said:\n${text.slice(-1_000)}` }),
    close: () => controller.abort(),
  };
}
