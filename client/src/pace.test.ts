import { expect, test } from 'bun:test';
import { createFakeClock, settle } from './fake-clock.fixture.ts';
import { FakeEnvironment } from './fake-host.fixture.ts';
import { createPace, type PaceOptions } from './pace.ts';

function make(options: Partial<PaceOptions> = {}) {
  const clock = createFakeClock();
  const environment = new FakeEnvironment();
  const closing = new AbortController();
  const pace = createPace({ clock, environment, random: () => 0.5, ...options });
  /** How long the next turn takes, in ms. */
  const waitOf = async (atOnce = false) => {
    const startedAt = clock.now();
    let tookMs: number | undefined;
    void pace.turn(closing.signal, atOnce).then(() => {
      tookMs = clock.now() - startedAt;
    });
    await clock.advance(0);
    while (tookMs === undefined) await clock.advance(50);
    return tookMs;
  };
  return { clock, environment, closing, pace, waitOf };
}

test('a turn comes after a drawn delay that grows with failures, and at once when asked to', async () => {
  const { pace, waitOf } = make();
  expect([await waitOf(true), await waitOf()]).toEqual([0, 250]);
  pace.failed();
  pace.failed();
  expect(await waitOf()).toBe(1_000);
  pace.healthy();
  expect(await waitOf()).toBe(250);
});

test('a breaker opens after its failures, lets one probe go when its time is up, and opens again when that fails', async () => {
  const { pace, waitOf } = make({ breaker: { failures: 3, openMs: 40_000 } });
  pace.failed();
  pace.failed();
  expect(pace.breaker).toBe('closed');
  pace.failed();
  expect(pace.breaker).toBe('open');
  expect(await waitOf()).toBe(50_000);
  expect(pace.breaker).toBe('half-open');
  pace.failed();
  expect(pace.breaker).toBe('open');
  expect(await waitOf(true)).toBe(50_000);
  pace.healthy();
  expect(pace.breaker).toBe('closed');
  expect(await waitOf()).toBe(250);
});

test('breakers that opened together do not probe together', async () => {
  const waits: number[] = [];
  for (const drawn of [0, 0.5, 0.9]) {
    const { pace, waitOf } = make({ random: () => drawn, breaker: { failures: 1, openMs: 10_000 } });
    pace.failed();
    waits.push(await waitOf());
  }
  expect(waits).toEqual([10_000, 12_500, 14_500]);
});

test('hurry() brings a waiting turn forward, past an open breaker and a long delay', async () => {
  const { clock, pace, closing } = make({ breaker: { failures: 1, openMs: 60_000 } });
  pace.failed();
  let gone = false;
  void pace.turn(closing.signal, false).then(() => {
    gone = true;
  });
  await clock.advance(1_000);
  pace.hurry();
  await clock.advance(249);
  expect(gone).toBe(false);
  await clock.advance(1);
  expect(gone).toBe(true);
});

test('what the server asked for is kept, whoever hurries', async () => {
  const { clock, pace, closing } = make();
  pace.failed(30_000);
  let gone = false;
  void pace.turn(closing.signal, false).then(() => {
    gone = true;
  });
  await settle();
  pace.hurry();
  await clock.advance(30_000);
  expect(gone).toBe(false);
  await clock.advance(500);
  expect(gone).toBe(true);
});

test('nothing goes while offline, and an abort ends the wait', async () => {
  const { clock, environment, closing, pace } = make();
  environment.become({ online: false });
  const outcome = pace.turn(closing.signal, true).catch((error) => error.code);
  await clock.advance(600_000);
  closing.abort();
  expect(await outcome).toBe('CLOSED');
  expect(clock.waiting).toBe(0);
});

test('onRecovered tells once that what failed works again', () => {
  let recovered = 0;
  const { pace } = make({ onRecovered: () => ++recovered });
  pace.healthy();
  pace.failed();
  pace.failed();
  pace.healthy();
  pace.healthy();
  expect(recovered).toBe(1);
});
