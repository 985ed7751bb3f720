import { expect, test } from 'bun:test';
import { createUsher, type Usher } from '@usher/client';
import { freePort } from '../harness/port.ts';
import { startServer } from '../harness/server.ts';
import { eventually } from '../harness/wait.ts';
import { readerToken } from './scene.ts';

const clients = 500;

/** How many of `times` lie in each slice of `sliceMs` from `startedAt` on. */
function slices(times: readonly number[], startedAt: number, sliceMs: number): number[] {
  const counts: number[] = [];
  for (const time of times) {
    const slice = Math.floor((time - startedAt) / sliceMs);
    if (slice >= 0) counts[slice] = (counts[slice] ?? 0) + 1;
  }
  return Array.from(counts, (count) => count ?? 0);
}

test('500 clients that lose their server together do not come back together', async () => {
  const port = await freePort();
  const env = { PORT: String(port), MAX_CONNECTIONS_PER_USER: '100000', TICKETS_PER_MINUTE: '1000000' };
  let server = await startServer({ env });
  const token = await readerToken();
  const tickets: number[] = [];
  const polls: number[] = [];
  const counting = ((url: string, init: RequestInit) => {
    (String(url).endsWith('/ws-ticket') ? tickets : polls).push(performance.now());
    return fetch(url, init);
  }) as typeof fetch;
  // Defaults throughout: this is what a deployment sees.
  const ushers: Usher[] = Array.from({ length: clients }, () =>
    createUsher({ url: server.url, token, fetch: counting }),
  );
  const live = () => ushers.filter(({ state }) => state.status === 'live').length;
  for (const [n, usher] of ushers.entries()) {
    usher.topic('public', `herd-${n % 10}`).subscribe({ onError: () => {} });
    if (n % 50 === 49) await eventually(() => live() === n + 1, { what: () => `${n + 1} clients: ${live()}` });
  }
  // Healthy, so that what follows is a first loss and not one of many.
  await new Promise((resolve) => setTimeout(resolve, 10_500));
  const lostAt = performance.now();
  await server.kill();
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  const backAt = performance.now();
  server = await startServer({ env });
  await eventually(() => live() === clients, { what: () => `all live: ${live()}`, timeoutMs: 60_000 });
  for (const usher of ushers) usher.close();
  await server.kill();

  const bySecond = slices(tickets, lostAt, 1_000);
  const byTenth = slices(tickets, lostAt, 100).slice(0, 5);
  // biome-ignore lint/suspicious/noConsole: the measured spread is what this test is for
  console.log(
    `attempts a second after the loss: ${bySecond.join(' ')}; the first five tenths: ${byTenth.join(' ')}; ` +
      `polls a second: ${slices(polls, lostAt, 1_000).join(' ')}; the server was back after ${Math.round(backAt - lostAt)} ms`,
  );
  // The first delay is drawn from 500 ms. No tenth may have twice its share of the 500.
  expect(Math.max(...byTenth)).toBeLessThan((clients / 5) * 2);
  // Everyone's second delay is drawn from 1 s, the third from 2 s: what comes later is thinner, whatever the server does.
  const later = bySecond.slice(2);
  expect(Math.max(...later)).toBeLessThan(clients);
  expect(later.reduce((sum, count) => sum + count, 0) / later.length).toBeLessThan(clients / 2);
}, 120_000);
