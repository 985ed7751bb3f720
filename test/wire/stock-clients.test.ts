import { expect, test } from 'bun:test';
import { createTRPCClient, createWSClient, httpBatchLink, httpBatchStreamLink, httpLink, wsLink } from '@trpc/client';
import type { TopicItem, UsherRouter } from '@usher/contracts';
import { issueTicket } from '../harness/http.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { onEachServer } from './each-server.ts';

onEachServer((server) => {
  const links = { httpLink, httpBatchLink, httpBatchStreamLink };

  test.each(Object.keys(links) as (keyof typeof links)[])(
    'the stock %s publishes and reads, hundreds of calls at a time',
    async (name) => {
      const options = { url: `${server().url}/trpc`, headers: { authorization: `Bearer ${await publisherToken()}` } };
      const trpc = createTRPCClient<UsherRouter>({ links: [links[name]({ ...options, maxItems: 100 })] });
      const topic = `public:${name}`;
      const { position } = await trpc.topic.publish.mutate({
        topic,
        event: { name: 'e', data: { n: 1 } },
        state: { s: 1 },
      });
      for (let round = 0; round < 3; round++) {
        const pages = await Promise.all(Array.from({ length: 150 }, () => trpc.topic.history.query({ topic })));
        for (const page of pages) expect(page.events.map((event) => event.position)).toEqual([position as string]);
      }
      const { lastEventId } = await trpc.topic.poll.query({ topic });
      const waiting = trpc.topic.poll.query({ topic, lastEventId, waitMs: 25_000 });
      await trpc.topic.publish.mutate({ topic, event: { name: 'e', data: { n: 2 } } });
      expect((await waiting).items).toHaveLength(1);
      const refused = await trpc.topic.state.query({ topic: 'job:nobodys' }).catch((error: unknown) => error);
      expect(refused).toMatchObject({
        data: { code: 'NOT_FOUND', reason: 'TOPIC_UNKNOWN', traceId: expect.any(String) },
      });
    },
  );

  test('the stock wsLink takes a ticket per connection, resumes by itself, and sees each event once', async () => {
    const token = await publisherToken({ userId: 'stock' });
    const opened: string[] = [];
    const client = createWSClient({
      url: async () => {
        const ticket = await issueTicket(server(), token);
        opened.push(ticket);
        return `${server().wsUrl}/trpc?ticket=${ticket}`;
      },
      retryDelayMs: () => 50,
    });
    const trpc = createTRPCClient<UsherRouter>({ links: [wsLink({ client })] });
    const items: TopicItem[] = [];
    const subscription = trpc.topic.subscribe.subscribe(
      { topic: 'public:stock' },
      { onData: ({ data }) => void items.push(data as TopicItem) },
    );
    const numbers = () =>
      items.flatMap((item) => (item.type === 'event' ? [(item.event.data as { n: number }).n] : []));
    const publish = (n: number) =>
      trpc.topic.publish.mutate({ topic: 'public:stock', event: { name: 'e', data: { n } } });
    await eventually(() => items.length > 0);
    await publish(1);
    await eventually(() => numbers().length === 1);
    client.connection?.ws.close();
    await eventually(() => opened.length === 2 && items.some((item) => item.type === 'resumed'), {
      what: 'the second connection',
    });
    await publish(2);
    await eventually(() => numbers().length === 2);
    expect(numbers()).toEqual([1, 2]);
    subscription.unsubscribe();
    await client.close();
  });

  test('a query of the stock client that is not signed in is refused as any other', async () => {
    const trpc = createTRPCClient<UsherRouter>({
      links: [
        httpLink({
          url: `${server().url}/trpc`,
          headers: { authorization: `Bearer ${await mintToken({ sessionId: null })}` },
        }),
      ],
    });
    const refused = await trpc.topic.poll.query({ topic: 'public:a' }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ data: { code: 'UNAUTHORIZED', httpStatus: 401, reason: 'MISSING_SESSION' } });
  });
});
