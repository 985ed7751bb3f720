import { expect, test } from 'bun:test';
import { UsherError } from './errors.ts';
import { createFakeHost, refusal, ticketAnswer } from './fake-host.fixture.ts';

/** A host whose first connection is live and healthy. */
async function healthyHost(options: Parameters<typeof createFakeHost>[0] = {}) {
  const host = createFakeHost(options);
  host.start();
  await host.clock.advance(0);
  host.socket.live();
  await host.clock.advance(10_000);
  host.told.length = 0;
  return host;
}

test('the first attempt goes at once, and is live when the server has answered', async () => {
  const host = createFakeHost();
  expect(host.connection.state).toEqual({ status: 'idle' });
  host.start();
  await host.clock.advance(0);
  expect(host.connection.state).toEqual({ status: 'connecting', attempt: 1 });
  expect(host.socket.url).toMatch(/^ws:\/\/usher\/trpc\?ticket=ticket-\d+$/);
  host.socket.open();
  await host.clock.advance(0);
  expect(host.connection.state.status).toBe('connecting');
  host.socket.message('PONG');
  expect(host.connection.state).toEqual({ status: 'live' });
  expect(host.told).toEqual(['→ connecting', '→ live', 'connect']);
});

test('each attempt has a ticket of its own', async () => {
  const host = createFakeHost({ fallback: false });
  host.start();
  for (let n = 0; n < 4; n += 1) {
    await host.clock.advance(30_000);
    host.socket.drop();
  }
  const tickets = host.sockets.map(({ url }) => url);
  expect(new Set(tickets).size).toBe(tickets.length);
  expect(tickets.length).toBeGreaterThanOrEqual(4);
});

test('a lost connection is tried again after a drawn delay, even the first time', async () => {
  const host = await healthyHost();
  host.socket.drop();
  expect(host.connection.state).toEqual({ status: 'connecting', attempt: 1 });
  await host.clock.advance(249);
  expect(host.sockets).toHaveLength(1);
  await host.clock.advance(1);
  expect(host.sockets).toHaveLength(2);
  host.socket.live();
  expect(host.told).toEqual(['→ connecting', 'disconnect NETWORK', '→ live', 'reconnect 1']);
});

test('delays grow with each failure and start over only after 10 s of health', async () => {
  const host = await healthyHost({ fallback: false, breaker: { failures: 100 } });
  const lostAt = host.elapsedMs();
  host.socket.drop();
  for (let n = 0; n < 4; n += 1) {
    const before = host.sockets.length;
    while (host.sockets.length === before) await host.clock.advance(50);
    host.socket.drop();
  }
  // Half of 500, 1,000, 2,000 and 4,000 ms, in steps of 50.
  const at = host.requestsAtMs.slice(1).map((ms) => ms - lostAt);
  expect(at).toEqual([250, 750, 1_750, 3_750]);

  await host.clock.advance(4_000);
  host.socket.live();
  await host.clock.advance(9_999);
  host.socket.drop();
  await host.clock.advance(7_999);
  expect(host.requestsAtMs).toHaveLength(6);
  await host.clock.advance(1);
  expect(host.requestsAtMs).toHaveLength(7);
  host.socket.live();
  await host.clock.advance(10_000);
  host.socket.drop();
  await host.clock.advance(250);
  expect(host.requestsAtMs).toHaveLength(8);
});

test('three failed attempts in a row fall back to polling, and the WebSocket is probed on', async () => {
  const host = await healthyHost();
  host.respond(refusal(503, 'INTERNAL'));
  host.socket.drop();
  await host.clock.advance(2_000);
  expect(host.connection.state).toEqual({ status: 'polling', reason: 'INTERNAL' });
  expect(host.requestsAtMs).toHaveLength(4);
  host.respond(ticketAnswer);
  await host.clock.advance(4_000);
  expect(host.sockets).toHaveLength(2);
  expect(host.connection.state.status).toBe('polling');
  host.socket.live();
  expect(host.told).toEqual([
    '→ connecting',
    'disconnect NETWORK',
    '→ polling',
    'fallback INTERNAL',
    '→ live',
    'restore',
  ]);
});

test('time without a connection falls back too, though no attempt has failed yet', async () => {
  const host = createFakeHost({ ticket: { timeoutMs: 60_000 }, fallback: { afterMs: 3_000 } });
  host.respond(() => new Promise(() => {}));
  host.start();
  await host.clock.advance(2_999);
  expect(host.connection.state.status).toBe('connecting');
  await host.clock.advance(1);
  expect(host.connection.state).toEqual({ status: 'polling', reason: 'TIMEOUT' });
});

test('restore: false stays on polling and asks for no more tickets', async () => {
  const host = createFakeHost({ fallback: { restore: false } });
  host.respond(refusal(503, 'INTERNAL'));
  host.start();
  await host.clock.advance(5_000);
  expect(host.connection.state.status).toBe('polling');
  const asked = host.requestsAtMs.length;
  await host.clock.advance(600_000);
  expect(host.requestsAtMs).toHaveLength(asked);
});

test('fallback: false never polls', async () => {
  const host = createFakeHost({ fallback: false });
  host.respond(refusal(503, 'WS_TICKET_REDIS_NOT_READY'));
  host.start();
  await host.clock.advance(600_000);
  expect(host.connection.state.status).toBe('connecting');
});

test('Redis not ready: three retries, one warning, polling, and silence while it stays away', async () => {
  const host = createFakeHost();
  host.respond(refusal(503, 'WS_TICKET_REDIS_NOT_READY'));
  host.start();
  await host.clock.advance(1_700);
  expect(host.requestsAtMs).toEqual([0, 200, 700, 1_700]);
  expect(host.connection.state).toEqual({ status: 'polling', reason: 'WS_TICKET_REDIS_NOT_READY' });
  const told = host.logged.filter(([level]) => level !== 'debug');
  expect(told).toEqual([
    ['info', '[WS] Hard failure - Redis not ready', { status: 503, code: 'WS_TICKET_REDIS_NOT_READY' }],
    [
      'warn',
      '[WS] Ticket request failed: 503 SERVICE_UNAVAILABLE (Redis not ready after retries) - falling back to polling-only mode',
      { status: 503, code: 'WS_TICKET_REDIS_NOT_READY' },
    ],
  ]);
  const lines = host.logged.length;
  await host.clock.advance(120_000);
  expect(host.requestsAtMs.length).toBeGreaterThan(6);
  expect(host.logged).toHaveLength(lines);

  host.respond(ticketAnswer);
  while (host.sockets.length === 0) await host.clock.advance(100);
  host.socket.live();
  expect(host.logged.slice(lines)).toEqual([
    ['debug', '[WS] Ticket OK, connecting...'],
    ['info', '[WS] Connected'],
  ]);
  expect(host.told).toEqual([
    '→ connecting',
    '→ polling',
    'fallback WS_TICKET_REDIS_NOT_READY',
    '→ live',
    'connect',
    'restore',
  ]);
});

test('Redis back during the retries: the WebSocket connects, and nothing is polled', async () => {
  const host = createFakeHost();
  host.respond(refusal(503, 'WS_TICKET_REDIS_NOT_READY'));
  host.start();
  await host.clock.advance(600);
  host.respond(ticketAnswer);
  await host.clock.advance(100);
  host.socket.live();
  expect(host.told).toEqual(['→ connecting', '→ live', 'connect']);
});

for (const [status, code, requests] of [
  [401, 'UNAUTHORIZED', 2],
  [401, 'MISSING_SESSION', 1],
  [403, 'FORBIDDEN', 1],
] as const) {
  test(`${status} ${code} closes for good after ${requests} request(s)`, async () => {
    const host = createFakeHost({ token: () => 'token' });
    host.respond(refusal(status, code));
    host.start();
    await host.clock.advance(600_000);
    expect(host.connection.state).toMatchObject({ status: 'closed', reason: code });
    expect(host.requestsAtMs).toHaveLength(requests);
    expect(host.clock.waiting).toBe(0);
  });
}

test('429 waits as long as it was told, and a random second at most', async () => {
  const host = createFakeHost();
  host.respond(refusal(429, 'RATE_LIMITED', { retryAfterMs: 30_000 }));
  host.start();
  await host.clock.advance(30_499);
  expect(host.requestsAtMs).toEqual([0]);
  await host.clock.advance(1);
  expect(host.requestsAtMs).toEqual([0, 30_500]);
});

test('a revoked session gets another token once; a second revocation closes', async () => {
  const refusals: boolean[] = [];
  const host = await healthyHost({
    token: ({ refused }) => {
      refusals.push(refused);
      return 'token';
    },
  });
  host.socket.drop(1008, 'SESSION_REVOKED');
  await host.clock.advance(250);
  expect(refusals).toEqual([false, true]);
  host.socket.live();
  expect(host.connection.state.status).toBe('live');
  host.socket.drop(1008, 'SESSION_REVOKED');
  expect(host.connection.state).toMatchObject({ status: 'closed', reason: 'SESSION_REVOKED' });
});

test('a connection that is refused on two tokens, before it ever was live, closes', async () => {
  const host = createFakeHost({ token: () => 'token' });
  host.start();
  await host.clock.advance(0);
  const refuse = () => {
    host.socket.open();
    host.socket.message('{"id":null,"error":{"data":{"reason":"UNAUTHORIZED"}}}');
    host.socket.drop(1008, 'UNAUTHORIZED');
  };
  refuse();
  expect(host.connection.state.status).toBe('connecting');
  await host.clock.advance(1_000);
  refuse();
  expect(host.connection.state).toMatchObject({ status: 'closed', reason: 'UNAUTHORIZED' });
});

test('a session may be revoked again after 10 s of health', async () => {
  const host = await healthyHost({ token: () => 'token' });
  for (let n = 0; n < 3; n += 1) {
    host.socket.drop(1008, 'TOKEN_EXPIRED');
    await host.clock.advance(250);
    host.socket.live();
    await host.clock.advance(10_000);
  }
  expect(host.connection.state.status).toBe('live');
});

test('accept-then-close is no hot loop: it is paced, breaks, and ends in polling', async () => {
  const host = createFakeHost();
  host.start();
  for (let n = 0; n < 200; n += 1) {
    await host.clock.advance(300);
    if (host.sockets.length > 0) {
      host.socket.live();
      host.socket.drop(1008, 'CONNECTION_LIMIT');
    }
  }
  expect(host.requestsAtMs.length).toBeLessThan(12);
  expect(host.connection.attempts.breaker).toBe('open');
  expect(host.connection.state.status).toBe('polling');
});

test('a breaker that is open lets one probe go when its time is up', async () => {
  const host = createFakeHost({ breaker: { failures: 2, openMs: 60_000 }, retry: { maxMs: 1_000 } });
  host.respond(refusal(503, 'INTERNAL'));
  host.start();
  await host.clock.advance(70_000);
  expect(host.connection.attempts.breaker).toBe('open');
  expect(host.requestsAtMs).toHaveLength(2);
  await host.clock.advance(6_000);
  expect(host.requestsAtMs).toHaveLength(3);
  host.respond(() => new Promise(() => {}));
  await host.clock.advance(75_000);
  expect(host.connection.attempts.breaker).toBe('half-open');
  expect(host.requestsAtMs).toHaveLength(4);
});

test('maxRetries closes without a fallback, and stays on polling with one', async () => {
  for (const [fallback, status] of [
    [false, 'closed'],
    [undefined, 'polling'],
  ] as const) {
    const host = createFakeHost({ retry: { maxRetries: 2 }, fallback });
    host.respond(refusal(500, 'INTERNAL'));
    host.start();
    await host.clock.advance(600_000);
    expect(host.requestsAtMs).toHaveLength(3);
    expect(host.connection.state.status).toBe(status);
  }
});

test('a poll that works again brings the next probe forward', async () => {
  const host = createFakeHost({ breaker: { failures: 3, openMs: 60_000 } });
  host.respond(refusal(503, 'INTERNAL'));
  host.start();
  await host.clock.advance(5_000);
  expect(host.connection.attempts.breaker).toBe('open');
  host.connection.polls.healthy();
  await host.clock.advance(5_000);
  expect(host.requestsAtMs).toHaveLength(3);
  host.connection.polls.failed();
  host.connection.polls.healthy();
  await host.clock.advance(250);
  expect(host.requestsAtMs).toHaveLength(4);
  expect(host.connection.attempts.breaker).toBe('open');
});

test('offline: no attempt is made; online: one soon, whatever the wait was', async () => {
  const host = await healthyHost();
  host.environment.become({ online: false });
  host.socket.drop();
  await host.clock.advance(600_000);
  expect(host.requestsAtMs).toHaveLength(1);
  expect(host.connection.state.status).toBe('connecting');
  host.environment.become({ online: true });
  await host.clock.advance(500);
  expect(host.requestsAtMs).toHaveLength(2);
});

test('offline: a live connection must prove itself within 5 s', async () => {
  const host = await healthyHost();
  host.environment.become({ online: false });
  await host.clock.advance(5_000);
  expect(host.connection.state.status).toBe('connecting');
  expect(host.told).toContain('disconnect TIMEOUT');
});

test('a hidden page reconnects at the slowest pace, and soon when it is shown', async () => {
  const host = await healthyHost();
  host.environment.become({ visible: false });
  host.socket.drop();
  await host.clock.advance(14_999);
  expect(host.requestsAtMs).toHaveLength(1);
  host.environment.become({ visible: true });
  await host.clock.advance(250);
  expect(host.requestsAtMs).toHaveLength(2);
});

test('a move opens a second connection at once, and the first may go without a word', async () => {
  const host = await healthyHost();
  const [first] = host.sockets;
  const url = await host.connection.nextUrl();
  const second = new host.connection.WebSocket(url);
  host.socket.live();
  first?.drop(1000);
  await host.clock.advance(60_000);
  expect(host.told).toEqual([]);
  expect(host.connection.state.status).toBe('live');
  second.close();
});

test('a server that asks to move again and again is followed at the pace of failures', async () => {
  const host = await healthyHost();
  const at: number[] = [];
  const startedAt = host.elapsedMs();
  for (let n = 0; n < 5; n += 1) {
    let url: string | undefined;
    void host.connection.nextUrl().then((given) => {
      url = given;
    });
    await host.clock.advance(0);
    while (url === undefined) await host.clock.advance(50);
    at.push(host.elapsedMs() - startedAt);
    new host.connection.WebSocket(url);
    host.socket.live();
  }
  expect(at).toEqual([0, 0, 500, 1_500, 3_500]);
});

test('a move that cannot be made leaves the live connection alone', async () => {
  const host = await healthyHost();
  host.respond(refusal(503, 'WS_TICKET_REDIS_NOT_READY'));
  const outcome = host.connection.nextUrl().catch((error: UsherError) => error.code);
  await host.clock.advance(2_000);
  expect(await outcome).toBe('WS_TICKET_REDIS_NOT_READY');
  expect(host.connection.state.status).toBe('live');
  expect(host.told).toEqual([]);
});

test('close() cancels every wait and leaves no timer behind', async () => {
  for (const answer of [
    refusal(503, 'WS_TICKET_REDIS_NOT_READY'),
    refusal(500, 'INTERNAL'),
    () => new Promise<Response>(() => {}),
  ]) {
    const host = createFakeHost();
    host.respond(answer);
    host.start();
    await host.clock.advance(100);
    host.connection.close();
    await host.clock.advance(0);
    expect(host.clock.waiting).toBe(0);
    const asked = host.requestsAtMs.length;
    await host.clock.advance(600_000);
    expect(host.requestsAtMs).toHaveLength(asked);
    expect(host.told.slice(-2)).toEqual(['→ closed', 'close CLOSED']);
  }
});

test('close() is heard once, and nothing is heard after it', async () => {
  const host = await healthyHost();
  host.connection.close();
  host.connection.close(new UsherError('INTERNAL'));
  host.socket.drop();
  await host.clock.advance(60_000);
  expect(host.told).toEqual(['→ closed', 'close CLOSED']);
  expect(host.connection.state).toEqual({ status: 'closed', reason: 'CLOSED', error: null });
});

test('a handler that throws disturbs nothing', async () => {
  const host = createFakeHost({
    on: {
      onConnect: () => {
        throw new Error('a mistake of the app');
      },
    },
  });
  host.start();
  await host.clock.advance(0);
  host.socket.live();
  expect(host.connection.state.status).toBe('live');
  expect(host.logged.filter(([level]) => level === 'error')).toHaveLength(1);
});
