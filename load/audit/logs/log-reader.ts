import { createClient } from 'redis';
import { topicKeys } from '../../../server/src/topics/keys.ts';
import { auditedData } from '../audited-data.ts';
import type { Findings } from '../finding.ts';
import { Ledger } from './ledger.ts';

export interface LogReaderOptions {
  /** The connection goes straight to Redis, past whatever stands between it and the servers. */
  readonly redisPort: number;
  readonly findings: Findings;
  /** @default 100 */
  readonly intervalMs?: number;
}

/** Reads the logs themselves, as they grow. */
export interface LogReader extends AsyncDisposable {
  /** The topic's ledger; from the first call on its log is read. */
  ledger(topic: string): Ledger;
  /** The topic is over: its log is read no more. */
  leave(topic: string): void;
  /** Reads every log to its end. @throws when Redis cannot be read */
  readAll(): Promise<void>;
  /** A log's end, as Redis has it now; `null` where it has none. */
  end(topic: string): Promise<string | null>;
  /** Redis is about to lose data: logs may begin anew, once. */
  expectLoss(): void;
  /** Losses so far. */
  readonly losses: number;
  readonly ledgers: ReadonlyMap<string, Ledger>;
}

/** Entries of one read; a page of the largest payloads stays within a few megabytes. */
const pageEntries = 200;

type Row = readonly [position: string, fields: readonly string[]];

export function startLogReader({ redisPort, findings, intervalMs = 100 }: LogReaderOptions): LogReader {
  const ledgers = new Map<string, Ledger>();
  const active = new Set<string>();
  /** Losses that were expected when a log was last seen to begin anew. */
  const seen = new Map<string, number>();
  let losses = 0;
  let closed = false;
  let client: ReturnType<typeof open> | null = null;
  let turn: Promise<void> = Promise.resolve();

  async function open() {
    const opened = createClient({
      socket: { host: '127.0.0.1', port: redisPort, connectTimeout: 2_000, reconnectStrategy: false },
      disableOfflineQueue: true,
    });
    opened.on('error', () => {});
    await opened.connect();
    return opened;
  }

  const command = async (...args: string[]): Promise<unknown> => {
    client ??= open();
    const used = client;
    try {
      return await (await used).sendCommand(args);
    } catch (cause) {
      if (client === used) client = null;
      // One that never opened, or has ended by itself, refuses; there is nothing left of it either way.
      used.then((opened) => opened.destroy()).catch(() => {});
      throw cause;
    }
  };

  const write = (ledger: Ledger, rows: readonly Row[]): void => {
    for (const [position, fields] of rows) {
      const [, before = '', , tail = ''] = fields;
      const audited = auditedData((JSON.parse(`{${tail}}`) as { readonly data: unknown }).data);
      const repeated = ledger.add(position, before, audited);
      if (repeated) {
        const where = { topic: ledger.topic, who: 'log' };
        findings.add('double', where, `key ${audited.key} stands at ${repeated.position} and at ${position}`);
      }
    }
  };

  const read = async (topic: string): Promise<void> => {
    const ledger = ledgers.get(topic) as Ledger;
    const key = topicKeys('usher:', topic).log;
    for (;;) {
      const from = ledger.tip === null ? '-' : `(${ledger.tip.position}`;
      let rows = (await command('XRANGE', key, from, '+', 'COUNT', String(pageEntries))) as Row[];
      const before = rows[0]?.[1][1];
      if (ledger.tip !== null && before !== undefined && before !== ledger.tip.position) {
        // It does not go on from where it was: what is there is read from its beginning, and joins where it is known.
        rows = (await command('XRANGE', key, '-', '+')) as Row[];
        if (seen.get(topic) === losses) {
          findings.add('blind', { topic, who: 'log' }, `the log goes on at ${rows[0]?.[0]}, read up to ${from}`);
        }
        seen.set(topic, losses);
        write(ledger, rows);
        return;
      }
      write(ledger, rows);
      if (rows.length < pageEntries) return;
    }
  };

  const readAll = (): Promise<void> => {
    // One after the other: two readers of one log would see each other's tips.
    const next = turn
      .catch(() => {})
      .then(async () => {
        await Promise.all([...active].map(read));
      });
    turn = next;
    return next;
  };

  const loop = (async () => {
    while (!closed) {
      // Redis may be frozen, killed or loading: what it holds is read when it answers again.
      await readAll().catch(() => {});
      await Bun.sleep(intervalMs);
    }
  })();

  return {
    ledgers,
    get losses() {
      return losses;
    },
    ledger(topic) {
      let ledger = ledgers.get(topic);
      if (ledger === undefined) {
        ledger = new Ledger(topic);
        ledgers.set(topic, ledger);
        active.add(topic);
        seen.set(topic, losses);
      }
      return ledger;
    },
    leave: (topic) => void active.delete(topic),
    readAll,
    async end(topic) {
      return (await command('HGET', topicKeys('usher:', topic).meta, 'last')) as string | null;
    },
    expectLoss() {
      losses += 1;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await loop;
      (await client?.catch(() => null))?.destroy();
    },
  };
}
