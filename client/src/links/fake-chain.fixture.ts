import { createTRPCClient, type Operation, TRPCClientError, type TRPCLink } from '@trpc/client';
import { observable } from '@trpc/server/observable';
import type { TopicItem, UsherRouter } from '@usher/contracts';
import type { ErrorCode } from '../errors.ts';

/** One operation as the link under test sent it, with the test at its other end. */
export interface Sent {
  readonly op: Operation;
  left: boolean;
  item(id: string, item: TopicItem): void;
  data(data: unknown): void;
  error(code: ErrorCode | TypeError, fields?: object): void;
  complete(): void;
}

/** tRPC's own client over the link under test, and a terminating link that is played by the test. */
export function createFakeChain(link: TRPCLink<UsherRouter>) {
  const sent: Sent[] = [];
  const end: TRPCLink<UsherRouter> =
    () =>
    ({ op }) =>
      observable((observer) => {
        const entry: Sent = {
          op,
          left: false,
          item: (id, item) => observer.next({ result: { type: 'data', id, data: { id, data: item } } }),
          data(data) {
            observer.next({ result: { type: 'data', data } });
            observer.complete();
          },
          error(code, fields = {}) {
            const shape = { message: String(code), code: -32000, data: { reason: code, httpStatus: 500, ...fields } };
            observer.error(TRPCClientError.from(typeof code === 'string' ? { error: shape } : code));
          },
          complete: () => observer.complete(),
        };
        sent.push(entry);
        return () => {
          entry.left = true;
        };
      });
  const trpc = createTRPCClient<UsherRouter>({ links: [link, end] });
  const latest = (): Sent => {
    const entry = sent.at(-1);
    if (!entry) throw new Error('Nothing was sent');
    return entry;
  };
  /** Subscribes, and writes down what comes. */
  const subscribe = (input: { topic: string; lastEventId?: string; history?: number }, signal?: AbortSignal) => {
    const heard: string[] = [];
    const handle = trpc.topic.subscribe.subscribe(input, {
      ...(signal && { signal }),
      onData: ({ id, data }) => heard.push(data.type === 'event' ? id : `${data.type} ${id}`),
      onError: (error) => heard.push(`error ${error.data?.reason ?? (error.cause as { code?: string })?.code}`),
      onComplete: () => heard.push('complete'),
    });
    return { heard, stop: () => handle.unsubscribe() };
  };
  return { sent, trpc, latest, subscribe };
}

export const eventItem = (position: string): TopicItem => ({
  type: 'event',
  event: { position, at: 0, name: 'e', data: {} },
});
