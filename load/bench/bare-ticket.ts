/**
 * The control of the ticket bench: the least a Bun server can do that gives out a random string and keeps it in Redis for
 * 30 s, with Bun's own Redis client. No authentication, no rate, no trace id.
 */
import { randomBytes } from 'node:crypto';
import { limits } from '@usher/contracts/limits';
import { RedisClient } from 'bun';

const redis = new RedisClient(process.env.REDIS_URL);
const ttlMs = String(limits.ticketTtlMs);
const principal = { userId: 'somebody', sessionId: 'session-of-somebody', scopes: [], topics: [], expiresAt: null };

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  async fetch() {
    const ticket = randomBytes(32).toString('base64url');
    await redis.send('SET', [`bare:${ticket}`, JSON.stringify(principal), 'PX', ttlMs]);
    return Response.json({ ticket, expiresAt: Date.now() + limits.ticketTtlMs, path: '/trpc' });
  },
});
console.log(JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${server.port}` }));
