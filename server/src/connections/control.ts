import { randomUUID } from 'node:crypto';
import { UsherError } from '@usher/contracts';
import type { Logger } from 'pino';
import { RedisAwayError, type RedisConnection } from '../redis/connection.ts';
import { loadScript } from '../redis/script.ts';
import { type Answer, parseAnswered, parseAsked, type Question } from './control-message.ts';
import { createTicker } from './ticker.ts';

const script = loadScript(new URL('./control.lua', import.meta.url));

export interface ControlOptions {
  readonly redis: RedisConnection;
  readonly instanceId: string;
  /** Called once for each question of another instance. */
  readonly answer: (question: Question) => Answer;
  readonly log: Logger;
  /** Longest wait for the answers of all instances, in ms. @default 800 */
  readonly timeoutMs?: number;
  /** How long an instance is waited for that no longer says it lives, in ms. @default 15000 */
  readonly instanceLeaseMs?: number;
  /** @default 5000 */
  readonly heartbeatMs?: number;
  /** Most questions under way. @default 100 */
  readonly maxQuestions?: number;
  /** Most answers remembered for questions that come twice. @default 1000 */
  readonly maxRemembered?: number;
}

/**
 * Asks all other instances, and answers them, over one sharded channel.
 *
 * A message may be lost: a question is sent again, under its id, while an instance that should answer has not.
 */
export interface Control {
  /** The answers of the other instances that answered in time. @throws UsherError RATE_LIMITED */
  ask(question: Question): Promise<readonly Answer[]>;
  /** Sends without waiting for anything. */
  tell(question: Question): void;
  close(): Promise<void>;
}

interface Wait {
  /** By instance, so that an answer that comes twice counts once. */
  readonly answers: Map<string, Answer>;
  others: readonly string[] | null;
  /** Others that Redis says have received the question. */
  receivers: number;
  done: () => void;
}

export function createControl(options: ControlOptions): Control {
  const { redis, instanceId, log } = options;
  const { timeoutMs = 800, instanceLeaseMs = 15_000, heartbeatMs = 5_000 } = options;
  const { maxQuestions = 100, maxRemembered = 1_000 } = options;
  const root = `${redis.keyPrefix}{control}:`;
  const keys = [`${root}instances`, `${root}live`];
  const live = `${root}live`;
  const replyTo = (instance: string): string => `${root}to:${instance}`;
  const waits = new Map<string, Wait>();
  const remembered = new Map<string, string>();

  const report = (stage: string) => (cause: unknown) => {
    // That Redis is away is said once by its connection.
    if (!(cause instanceof RedisAwayError)) log.warn({ err: cause, stage }, '[Control] failed');
  };

  const send = async (message: string): Promise<{ receivers: number; others: readonly string[] }> => {
    const args = [instanceId, String(instanceLeaseMs), message];
    const [receivers, ...instances] = (await redis.run(script, keys, args, { timeoutMs })) as [number, ...string[]];
    return { receivers, others: instances.filter((instance) => instance !== instanceId) };
  };

  const reply = (to: string, message: string): void => {
    redis.send(replyTo(to), ['SPUBLISH', replyTo(to), message], { timeoutMs }).catch(report('reply'));
  };

  const onQuestion = (text: string): void => {
    const asked = parseAsked(text);
    if (!asked) log.debug('[Control] a message of another version was passed over');
    if (!asked || asked.from === instanceId) return;
    let message = remembered.get(asked.id);
    if (message === undefined) {
      message = JSON.stringify({ v: 1, id: asked.id, from: instanceId, answer: options.answer(asked.question) });
      remembered.set(asked.id, message);
      for (const oldest of remembered.keys()) {
        if (remembered.size <= maxRemembered) break;
        remembered.delete(oldest);
      }
    }
    reply(asked.from, message);
  };

  const onAnswer = (text: string): void => {
    const answered = parseAnswered(text);
    const wait = answered && waits.get(answered.id);
    if (!wait) return;
    wait.answers.set(answered.from, answered.answer);
    settle(wait);
  };

  const missing = (wait: Wait): readonly string[] => (wait.others ?? []).filter((other) => !wait.answers.has(other));

  const settle = (wait: Wait): void => {
    if (wait.others === null || wait.answers.size < wait.receivers || missing(wait).length > 0) return;
    wait.done();
  };

  const heartbeat = async (): Promise<void> => {
    if (redis.state === 'ready') await send('');
  };

  // Written down even when it rejects: the next line has it.
  redis.subscribe(live, onQuestion).catch(report('subscribe'));
  redis.subscribe(replyTo(instanceId), onAnswer).catch(report('subscribe'));
  const ticker = createTicker({ everyMs: heartbeatMs, run: heartbeat, onError: report('heartbeat') });
  const stopWatching = redis.onState((state) => {
    if (state === 'ready') ticker.kick();
  });
  ticker.kick();

  return {
    async ask(question) {
      if (redis.state === 'away') return [];
      if (waits.size >= maxQuestions) throw new UsherError('RATE_LIMITED', { retryAfterMs: timeoutMs });
      const id = randomUUID();
      const message = JSON.stringify({ v: 1, id, from: instanceId, question });
      const wait: Wait = { answers: new Map(), others: null, receivers: 0, done: () => {} };
      const finished = new Promise<void>((resolve) => {
        wait.done = resolve;
      });
      waits.set(id, wait);
      const sendAgain = (): void => void send(message).catch(report('ask'));
      const timers = [
        setTimeout(wait.done, timeoutMs),
        setTimeout(sendAgain, timeoutMs / 3),
        setTimeout(sendAgain, (timeoutMs * 2) / 3),
      ];
      try {
        const { receivers, others } = await send(message);
        wait.others = others;
        // This instance is among them where its own subscription stands.
        wait.receivers = receivers - (redis.delivery === 'ready' ? 1 : 0);
        settle(wait);
        await finished;
        const silent = missing(wait);
        if (silent.length > 0) log.warn({ silent, question: question.type }, '[Control] instances did not answer');
      } catch (cause) {
        report('ask')(cause);
      } finally {
        for (const timer of timers) clearTimeout(timer);
        waits.delete(id);
      }
      return [...wait.answers.values()];
    },
    tell(question) {
      const message = JSON.stringify({ v: 1, id: randomUUID(), from: instanceId, question });
      send(message).catch(report('tell'));
    },
    async close() {
      stopWatching();
      await ticker.close();
      await Promise.all([redis.unsubscribe(live, onQuestion), redis.unsubscribe(replyTo(instanceId), onAnswer)]);
      if (redis.state === 'ready')
        await redis.send(keys[0] ?? '', ['ZREM', `${root}instances`, instanceId]).catch(report('close'));
      for (const wait of waits.values()) wait.done();
    },
  };
}
