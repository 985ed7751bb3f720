/** Publishes a burst of this many events of 200 bytes; settles when all were answered. */
export type Publish = (burst: number) => Promise<unknown>;

/** The two ways a publisher has: one call an event, all at once, or one call with all of them. */
export interface Publishes {
  readonly one: Publish;
  readonly many: Publish;
}

const eventBytes = 200;
const bare = { name: 'tick', data: { text: '' } };
const event = { name: 'tick', data: { text: 'x'.repeat(eventBytes - JSON.stringify(bare).length) } };
const repeat = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

async function post(url: string, body: unknown, token?: string): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`Publishing was refused: ${response.status} ${answer}`);
}

export interface UsherTarget {
  readonly url: string;
  readonly token: string;
  readonly topic: string;
}

export function publishUsher({ url, token, topic }: UsherTarget): Publishes {
  return {
    one: (burst) => Promise.all(repeat(burst, () => post(`${url}/trpc/topic.publish`, { topic, event }, token))),
    many: (burst) => post(`${url}/trpc/topic.publishMany`, { topic, events: repeat(burst, () => event) }, token),
  };
}

export function publishBare(url: string): Publishes {
  return {
    one: (burst) => Promise.all(repeat(burst, () => post(url, { events: [event] }))),
    many: (burst) => post(url, { events: repeat(burst, () => event) }),
  };
}
