import { afterEach, expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { get, mutate, query } from '../harness/http.ts';
import { openRaw } from '../harness/raw-client.ts';
import type { Server } from '../harness/server.ts';
import { adminToken, mintToken } from '../harness/tokens.ts';
import { eventually } from '../harness/wait.ts';
import { onEachServer } from '../wire/each-server.ts';
import { upgradeRequest } from './raw-http.ts';

/** Connections as the operator sees them, and as the process counts them. */
async function connectionsOf(server: Server): Promise<{ readonly listed: number; readonly open: number }> {
  const answer = await query<{ connections: unknown[] }>(
    server,
    'connection.list',
    { limit: 1_000 },
    { token: await adminToken() },
  );
  const open = /^usher_connections (\d+)$/m.exec((await get(server, '/metrics')).text)?.[1];
  return { listed: answer.data?.connections.length ?? -1, open: Number(open) };
}

const allGone = (server: Server) =>
  eventually(async () => expect(await connectionsOf(server)).toEqual({ listed: 0, open: 0 }), {
    what: 'the last connection to be let go of',
    intervalMs: 100,
  });

onEachServer(
  (server) => {
    const sockets = new Set<Socket>();
    afterEach(() => {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    });

    /** A TCP connection that asks for an upgrade and then does what it is told to, which may be nothing. */
    const knock = (token: string): Socket => {
      const socket = connect(server().port, '127.0.0.1');
      sockets.add(socket);
      socket.on('error', () => {});
      socket.write(upgradeRequest('/trpc', { authorization: `Bearer ${token}` }));
      return socket;
    };
    const accepted = (socket: Socket): Promise<void> =>
      new Promise((resolve) => socket.once('data', (data) => String(data).includes(' 101 ') && resolve()));

    test('clients that leave during the upgrade, do not answer the close or are revoked in between leave no place behind', async () => {
      const mute = knock(await mintToken({ userId: 'mute' }));
      await accepted(mute);
      const revoked = await mutate(server(), 'session.revoke', { userId: 'mute' }, { token: await adminToken() });
      expect(revoked.data).toEqual({ disconnected: 1 });

      const token = await mintToken({ userId: 'leaver' });
      for (let round = 0; round < 20; round++) {
        await Promise.all(
          Array.from({ length: 10 }, (_, at) => {
            const socket = knock(token);
            const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()));
            if (at % 2 === 0) socket.once('connect', () => socket.destroy());
            else setTimeout(() => socket.resetAndDestroy(), at);
            return gone;
          }),
        );
      }

      // Revoked while its upgrades are under way, and after.
      const hasty = await mintToken({ userId: 'hasty', sessionId: 'revoked-in-between' });
      for (let at = 0; at < 30; at++) knock(hasty);
      await mutate(server(), 'session.revoke', { sessionId: 'revoked-in-between' }, { token: await adminToken() });
      for (let at = 0; at < 10; at++) knock(hasty);

      await allGone(server());
      await using client = await openRaw(server(), { token });
      expect((await client.query('health.live')).error).toBeUndefined();
    }, 40_000);
  },
  { kinds: ['Bun, memory', 'Bun, Redis', 'Deno, memory'], env: { MAX_CONNECTIONS_PER_USER: '50' } },
);
