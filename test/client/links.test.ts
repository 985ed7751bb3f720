import { expect, setDefaultTimeout, test } from 'bun:test';
import { createTRPCClient, createWSClient, httpLink, splitLink, wsLink } from '@trpc/client';
import { backoffRetryLink, createTicketedWsClient, pollingFallbackLink, ticketLink, toUsherError } from '@usher/client';
import { watchWsClient } from '@usher/client/watch-ws-client';
import type { UsherRouter } from '@usher/contracts';
import { issueTicket, mutate } from '../harness/http.ts';
import { startProxy } from '../harness/proxy.ts';
import { type Server, startServer } from '../harness/server.ts';
import { mintToken, publisherToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { clean, compare, fast, logOf, readerToken, socketThrough, startTraffic } from './scene.ts';

setDefaultTimeout(60_000);

const id = () => crypto.randomUUID().slice(0, 8);
type Client = ReturnType<typeof createTRPCClient<UsherRouter>>;

const http = async ({ url }: Server) =>
  httpLink({ url: `${url}/trpc`, headers: { authorization: `Bearer ${await readerToken()}` } });

function read(trpc: Client, topic: string) {
  const seen: { position: string | null; at: number; name: string }[] = [];
  const items: string[] = [];
  const subscription = trpc.topic.subscribe.subscribe(
    { topic: `public:${topic}` },
    {
      onData({ data }) {
        items.push(data.type);
        if (data.type === 'event') seen.push(data.event);
      },
      onError: (error) => items.push(toUsherError(error).code),
    },
  );
  return { seen: seen as Parameters<typeof compare>[1][number][], items, stop: () => subscription.unsubscribe() };
}

test("tRPC's own wsLink and createWSClient work unchanged, with a url that takes a ticket", async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server.port);
  const token = await readerToken();
  const client = createWSClient({
    url: async () => `ws://127.0.0.1:${proxy.port}/trpc?ticket=${await issueTicket(server, token)}`,
    retryDelayMs: () => 100,
  });
  const trpc = createTRPCClient<UsherRouter>({ links: [wsLink({ client })] });
  const topic = id();
  const { seen, items } = read(trpc, topic);
  await eventually(() => items[0] === 'snapshot');
  const traffic = startTraffic(server.url, topic);
  await eventually(() => seen.length > 20);
  proxy.drop();
  await eventually(() => items.includes('resumed'));
  expect((await trpc.health.live.query()).status).toBe('ok');
  const published = await traffic.stop();
  await eventually(() => seen.length >= published);
  expect(compare(await logOf(server, topic), seen)).toEqual(clean);
  await client.close();
});

test('createTicketedWsClient serves a plain wsLink, and close() ends an attempt that waits', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server.port);
  const client = createTicketedWsClient({
    ...fast,
    url: server.url,
    token: readerToken,
    WebSocket: socketThrough(proxy),
    fallback: false,
  });
  const trpc = createTRPCClient<UsherRouter>({ links: [wsLink({ client })] });
  const topic = id();
  const { seen, items } = read(trpc, topic);
  await eventually(() => items[0] === 'snapshot');
  const traffic = startTraffic(server.url, topic);
  for (let n = 0; n < 3; n += 1) {
    const before = seen.length;
    await eventually(() => seen.length > before + 10);
    proxy.drop();
  }
  const published = await traffic.stop();
  await eventually(() => seen.length >= published);
  expect(compare(await logOf(server, topic), seen)).toEqual(clean);
  proxy.cut();
  await eventually(() => client.usher.state.status === 'connecting');
  await client.close();
  expect(client.usher.state).toMatchObject({ status: 'closed', reason: 'CLOSED' });
  const late = read(trpc, topic);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(late.items).toEqual([]);
});

test('ticketLink ends its subscriptions with the reason when the connection closes for good', async () => {
  await using server = await startServer();
  const trpc = createTRPCClient<UsherRouter>({ links: [ticketLink({ ...fast, url: server.url, token: 'nonsense' })] });
  const early = [read(trpc, id()), read(trpc, id()), read(trpc, id())];
  await eventually(() => early.every(({ items }) => items[0] === 'UNAUTHORIZED'));
  const late = read(trpc, id());
  await eventually(() => late.items[0] === 'UNAUTHORIZED');
});

test("pollingFallbackLink works over tRPC's own WebSocket client", async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server.port);
  const token = await readerToken();
  const client = createWSClient({
    url: async () => `ws://127.0.0.1:${proxy.port}/trpc?ticket=${await issueTicket(server, token)}`,
    retryDelayMs: () => 100,
  });
  const trpc = createTRPCClient<UsherRouter>({
    links: [
      pollingFallbackLink({ connection: watchWsClient(client, { afterMs: 300 }), minIntervalMs: 50 }),
      splitLink({
        condition: ({ type }) => type === 'subscription',
        true: wsLink({ client }),
        false: await http(server),
      }),
    ],
  });
  const topic = id();
  const { seen, items } = read(trpc, topic);
  await eventually(() => items[0] === 'snapshot');
  const traffic = startTraffic(server.url, topic);
  for (let n = 0; n < 2; n += 1) {
    await eventually(() => seen.length > 20 * (n + 1));
    proxy.cut();
    const before = seen.length;
    await eventually(() => seen.length > before + 60);
    const resumed = items.filter((type) => type === 'resumed').length;
    proxy.pass();
    await eventually(() => items.filter((type) => type === 'resumed').length > resumed);
  }
  const published = await traffic.stop();
  await eventually(() => seen.length >= published);
  expect(compare(await logOf(server, topic), seen)).toEqual(clean);
  await client.close();
});

test('backoffRetryLink waits for a topic that is not there yet, in front of any link', async () => {
  await using server = await startServer();
  const alice = await mintToken({ userId: 'alice' });
  const client = createWSClient({ url: async () => `${server.wsUrl}/trpc?ticket=${await issueTicket(server, alice)}` });
  const trpc = createTRPCClient<UsherRouter>({ links: [backoffRetryLink(), wsLink({ client })] });
  const topic = `job:${id()}`;
  const items: string[] = [];
  trpc.topic.subscribe.subscribe(
    { topic },
    { onData: ({ data }) => items.push(data.type), onError: (error) => items.push(toUsherError(error).code) },
  );
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  expect(items).toEqual([]);
  await mutate(server, 'topic.create', { topic, owner: 'alice' }, { token: await publisherToken() });
  await eventually(() => items[0] === 'snapshot');
  await client.close();
});
