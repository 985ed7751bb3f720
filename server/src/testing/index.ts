/**
 * Usher for the tests of an application: a real server in this process, on a free port, whose faults can be asked for.
 *
 * @example
 * ```ts
 * import { expect, test } from 'bun:test';
 * import { createUsher } from '@usher/client';
 * import { startTestServer } from '@usher/server/testing';
 *
 * test('the page survives a lost connection', async () => {
 *   await using server = await startTestServer();
 *   await using usher = createUsher({ url: server.url, token: await server.token({ userId: 'ada' }) });
 *   const topic = usher.topic('user', 'ada').subscribe();
 *   await server.publish('user:ada', { name: 'greeting', data: { text: 'hello' } });
 *   server.faults.dropConnections();
 *   await server.publish('user:ada', { name: 'greeting', data: { text: 'again' } });
 *   for await (const item of topic) {
 *     if (item.type === 'event' && item.event.data.text === 'again') break;
 *   }
 * });
 * ```
 */
export { startTestServer, type TestFaults, type TestServer, type TestServerOptions } from './test-server.ts';
