import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import type { UsherError } from '@usher/contracts';
import { createMemoryRateLimiter } from '../limits/memory.ts';
import { createMemoryTicketStore } from './memory.ts';
import { captureLog, principalOf, refusalOf, until } from './testing.ts';
import { createTickets, type TicketsOptions } from './tickets.ts';

const ada = principalOf('ada');
const plain = { traceId: 'trace-1', canReveal: false };
const revealing = { traceId: 'trace-1', canReveal: true };

function setUp(options: Partial<TicketsOptions> = {}) {
  const clock = { at: 1_700_000_000_000 };
  const { log, lines } = captureLog();
  const counted: string[] = [];
  const now = () => clock.at;
  const tickets = createTickets({
    store: createMemoryTicketStore({ now }),
    log,
    now,
    onIssue: () => void counted.push('issued'),
    onPass: (source) => void counted.push(source),
    onOpen: (outcome) => void counted.push(outcome),
    ...options,
  });
  return { tickets, clock, lines, counted, [Symbol.dispose]: () => tickets.close() };
}

describe('issue()', () => {
  test('gives a ticket of 256 bits, its end and the path', async () => {
    using use = setUp();
    const issued = await use.tickets.issue(ada, {}, 'trace-1');
    expect(issued.ticket).toMatch(/^ut1_[A-Za-z0-9_-]{43}$/);
    expect(issued).toMatchObject({ expiresAt: use.clock.at + 30_000, expiresInMs: 30_000, path: '/trpc' });
    expect((await use.tickets.issue(ada, {}, 'trace-1')).ticket).not.toBe(issued.ticket);
    expect(use.counted).toEqual(['issued', 'issued']);
  });

  test('stores no ticket, only its hash', async () => {
    const seen: string[] = [];
    const store = createMemoryTicketStore();
    const put: typeof store.put = (...args) => {
      seen.push(...args.map(String));
      return store.put(...args);
    };
    using use = setUp({ store: { ...store, put } });
    const { ticket } = await use.tickets.issue(ada, {}, 'trace-1');
    expect(seen).toContain(createHash('sha256').update(ticket).digest('hex'));
    expect(seen.join()).not.toContain(ticket.slice(4));
  });

  test('refuses a user with RATE_LIMITED past ticketsPerMinute, says when to come back, and stores nothing', async () => {
    const stored: string[] = [];
    const store = createMemoryTicketStore();
    const put: typeof store.put = async (hash) => void stored.push(hash);
    using use = setUp({ ticketsPerMinute: 3, rateLimiter: createMemoryRateLimiter(), store: { ...store, put } });
    for (let count = 0; count < 3; count += 1) await use.tickets.issue(ada, {}, 'trace-1');
    const error = await use.tickets.issue(ada, {}, 'trace-1').catch((caught: unknown) => caught);
    expect((error as UsherError).reason).toBe('RATE_LIMITED');
    expect((error as UsherError).retryAfterMs).toBeGreaterThan(0);
    await use.tickets.issue(principalOf('bob'), {}, 'trace-1');
    expect(stored).toHaveLength(4);
    expect(use.counted).toHaveLength(4);
  });

  test('does not wait for a rate limiter that never answers, nor fall over one that fails', async () => {
    using never = setUp({ commandTimeoutMs: 5, rateLimiter: { take: () => new Promise(() => {}) } });
    expect(await refusalOf(never.tickets.issue(ada, {}, 'trace-1'))).toBe('WS_TICKET_REDIS_NOT_READY');
    expect(never.counted).toEqual([]);
    using failing = setUp({ rateLimiter: { take: () => Promise.reject(new Error('away')) } });
    expect(await refusalOf(failing.tickets.issue(ada, {}, 'trace-1'))).toBe('WS_TICKET_REDIS_NOT_READY');
  });
});

describe('pass()', () => {
  test('gives the principal as it was when the ticket was issued', async () => {
    using use = setUp();
    const eve = principalOf('eve', {
      scopes: ['admin', 'publish'],
      topics: ['job:7'],
      expiresAt: use.clock.at + 99_000,
    });
    const { ticket } = await use.tickets.issue(eve, {}, 'trace-1');
    const pass = await use.tickets.pass(ticket, plain);
    expect(pass).toMatchObject({ principal: eve, issuedAt: use.clock.at, source: 'redis', needsNonce: false });
    expect(pass.ticketId).toBe(createHash('sha256').update(ticket).digest('hex').slice(0, 8));
  });

  test('counts and logs where each answer came from', async () => {
    using use = setUp();
    const { ticket } = await use.tickets.issue(ada, {}, 'trace-1');
    await use.tickets.pass(ticket, plain);
    await use.tickets.pass(ticket, { traceId: 'trace-2', canReveal: false });
    expect(await refusalOf(use.tickets.pass('ut1_nonsense', plain))).toBe('TICKET_INVALID');
    expect(use.counted).toEqual(['issued', 'redis', 'in_process', 'miss']);
    const logged = use.lines.map((line) => JSON.parse(line)).filter((line) => line.msg === 'Ticket pass');
    expect(logged.map((line) => [line.traceId, line.source])).toEqual([
      ['trace-1', 'redis'],
      ['trace-2', 'in_process'],
      ['trace-1', 'miss'],
    ]);
  });

  test('gives the malformed, the unknown, the used and the expired one and the same answer', async () => {
    using use = setUp();
    const used = await use.tickets.issue(ada, {}, 'trace-1');
    await use.tickets.open(await use.tickets.pass(used.ticket, plain));
    const expired = await use.tickets.issue(ada, {}, 'trace-1');
    use.clock.at += 30_000;
    const unknown = `ut1_${'A'.repeat(43)}`;
    const answers = new Set<string>();
    for (const ticket of ['', 'x', '{}', `${unknown}A`, `${unknown}\n`, unknown, used.ticket, expired.ticket]) {
      const error = await use.tickets.pass(ticket, plain).catch((caught: unknown) => caught);
      expect(error).toMatchObject({ reason: 'TICKET_INVALID' });
      answers.add((error as Error).message);
    }
    expect(answers.size).toBe(1);
  });

  test('answers TICKET_INVALID for a record it cannot read, and logs that', async () => {
    const store = createMemoryTicketStore();
    using use = setUp({ store });
    const ticket = `ut1_${'B'.repeat(43)}`;
    await store.put(createHash('sha256').update(ticket).digest('hex'), '{"v":2}', 60_000);
    expect(await refusalOf(use.tickets.pass(ticket, plain))).toBe('TICKET_INVALID');
    expect(use.lines.join()).toContain('A ticket record could not be read');
    expect(use.counted).toEqual(['miss']);
  });

  test('refuses a revoked session and an ended token, also at open()', async () => {
    let revoked = false;
    using use = setUp({ isRevoked: (principal) => revoked && principal.userId === 'ada' });
    const soon = principalOf('soon', { expiresAt: use.clock.at + 5 });
    const [first, second] = await Promise.all([use.tickets.issue(ada, {}, 't'), use.tickets.issue(ada, {}, 't')]);
    const [third, fourth] = await Promise.all([use.tickets.issue(soon, {}, 't'), use.tickets.issue(soon, {}, 't')]);
    const [passed, passedSoon] = [
      await use.tickets.pass(first.ticket, plain),
      await use.tickets.pass(third.ticket, plain),
    ];
    revoked = true;
    use.clock.at += 5;
    expect(await refusalOf(use.tickets.pass(second.ticket, plain))).toBe('SESSION_REVOKED');
    expect(await refusalOf(use.tickets.open(passed))).toBe('SESSION_REVOKED');
    expect(await refusalOf(use.tickets.pass(fourth.ticket, plain))).toBe('TOKEN_EXPIRED');
    expect(await refusalOf(use.tickets.open(passedSoon))).toBe('TOKEN_EXPIRED');
  });
});

describe('open()', () => {
  test('opens one of two connections on one instance and clears what was remembered', async () => {
    using use = setUp();
    const { ticket } = await use.tickets.issue(ada, {}, 'trace-1');
    const passes = [await use.tickets.pass(ticket, plain), await use.tickets.pass(ticket, plain)];
    const outcomes = await Promise.allSettled(passes.map((pass) => use.tickets.open(pass)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(use.tickets.held).toEqual({ consumed: 0, owed: 0 });
    expect(await refusalOf(use.tickets.pass(ticket, plain))).toBe('TICKET_INVALID');
  });

  test('opens one pass once, however often it is asked', async () => {
    using use = setUp();
    const { ticket } = await use.tickets.issue(ada, {}, 'trace-1');
    const pass = await use.tickets.pass(ticket, plain);
    expect(await use.tickets.open(pass)).toBe('established');
    expect(await refusalOf(use.tickets.open(pass))).toBe('TICKET_INVALID');
    expect(await refusalOf(use.tickets.open({ ...pass }))).toBe('TICKET_INVALID');
  });

  test('refuses a pass that was held back for longer than a handshake may take', async () => {
    using use = setUp();
    const { ticket } = await use.tickets.issue(ada, {}, 'trace-1');
    const [early, late] = [await use.tickets.pass(ticket, plain), await use.tickets.pass(ticket, plain)];
    use.clock.at += 10_001;
    // Nobody has opened it: the time alone is why.
    expect(await refusalOf(use.tickets.open(late))).toBe('TICKET_INVALID');
    use.clock.at -= 1;
    expect(await use.tickets.open(early)).toBe('established');
  });

  test('keeps the tombstone for as long as a pass can be held back, when consumedTtlMs is long', async () => {
    using use = setUp({ consumedTtlMs: 100_000 });
    const { ticket } = await use.tickets.issue(ada, {}, 'trace-1');
    const first = await use.tickets.pass(ticket, plain);
    use.clock.at += 99_000;
    const last = await use.tickets.pass(ticket, plain);
    use.clock.at -= 99_000;
    await use.tickets.open(first);
    use.clock.at += 198_000;
    expect(await refusalOf(use.tickets.open(last))).toBe('TICKET_INVALID');
  });

  test('needs the nonce of a binding, which only connectionParams can reveal', async () => {
    using use = setUp();
    const binding = createHash('sha256').update('my nonce').digest('hex').toUpperCase();
    const { ticket } = await use.tickets.issue(ada, { binding }, 'trace-1');
    expect(await refusalOf(use.tickets.pass(ticket, plain))).toBe('TICKET_INVALID');
    for (const proof of [undefined, {}, { nonce: '' }, { nonce: binding }, { nonce: 'My nonce' }]) {
      const pass = await use.tickets.pass(ticket, revealing);
      expect(pass.needsNonce).toBe(true);
      expect(await refusalOf(use.tickets.open(pass, proof))).toBe('TICKET_INVALID');
    }
    // Who guessed wrong has not spent the ticket of who knows.
    expect(await use.tickets.open(await use.tickets.pass(ticket, revealing), { nonce: 'my nonce' })).toBe(
      'established',
    );
    const said = use.lines.join('');
    for (const secret of ['my nonce', binding.toLowerCase(), ticket.slice(4)]) expect(said).not.toContain(secret);
  });
});

describe('bounds and end', () => {
  test('the process remembers at most consumedCacheSize tickets, and the one pushed out still opens', async () => {
    using use = setUp({ consumedCacheSize: 2 });
    const issued = await Promise.all([1, 2, 3].map(() => use.tickets.issue(ada, {}, 't')));
    const passes = [];
    for (const { ticket } of issued) passes.push(await use.tickets.pass(ticket, plain));
    expect(use.tickets.held.consumed).toBe(2);
    expect((await use.tickets.pass(issued[0]!.ticket, plain)).source).toBe('redis_consumed');
    for (const pass of passes) expect(await use.tickets.open(pass)).toBe('established');
  });

  test('what is over is swept, and nothing runs on after close()', async () => {
    const ticks = { closed: 0, running: 0 };
    let at = 0;
    const ticking = (name: keyof typeof ticks) => () => {
      ticks[name] += 1;
      return at;
    };
    using running = setUp({ consumedSweepMs: 1, now: ticking('running') });
    using closed = setUp({ consumedSweepMs: 1, now: ticking('closed') });
    await running.tickets.pass((await running.tickets.issue(ada, {}, 't')).ticket, plain);
    expect(running.tickets.held.consumed).toBe(1);
    at = 10_000;
    await until(() => running.tickets.held.consumed === 0);
    closed.tickets.close();
    const before = { ...ticks };
    await until(() => ticks.running > before.running + 10);
    expect(ticks.closed).toBe(before.closed);
  });

  test('after close() everything is refused with DRAINING', async () => {
    using use = setUp();
    const { ticket } = await use.tickets.issue(ada, {}, 't');
    const pass = await use.tickets.pass(ticket, plain);
    use.tickets.close();
    expect(await refusalOf(use.tickets.issue(ada, {}, 't'))).toBe('DRAINING');
    expect(await refusalOf(use.tickets.pass(ticket, plain))).toBe('DRAINING');
    expect(await refusalOf(use.tickets.open(pass))).toBe('DRAINING');
    expect(use.tickets.held).toEqual({ consumed: 0, owed: 0 });
  });
});
