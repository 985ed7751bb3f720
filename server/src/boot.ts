import process from 'node:process';
import { pathToFileURL } from 'node:url';
import type { TopicDefinition } from '@usher/contracts';
import { readConfig } from './config/config.ts';
import { createLog, flushLog } from './log.ts';
import { startServer } from './server.ts';

/** EX_CONFIG of sysexits.h: nothing but another configuration helps. */
const wrongConfiguration = 78;

/** The process' way to end; MUST answer within `DRAIN_TIMEOUT_MS`. */
export interface Departure {
  /** Drains and closes. */
  leave(signal: string): Promise<void>;
  /** Says that nobody is waited for any longer. */
  cutShort(signal: string): Promise<void>;
}

/** Reads the environment and runs the server; ends the process where that cannot be. */
export async function boot(): Promise<Departure> {
  const read = readConfig(process.env);
  if (!read.ok) {
    for (const { variable, message } of read.faults) process.stderr.write(`${variable}: ${message}\n`);
    process.exit(wrongConfiguration);
  }
  const { config } = read;
  const log = createLog({ level: config.logLevel });
  const topics = config.topicsModule === null ? [] : await readTopics(config.topicsModule);

  // Test only, and in no table: an auditor that has never been seen to fail proves nothing [load/audit].
  const checkGaps = process.env.USHER_TEST_NO_GAP_CHECK !== '1';
  if (!checkGaps && config.production) {
    process.stderr.write('USHER_TEST_NO_GAP_CHECK: Wanted nothing with NODE_ENV=production: current value is "1"\n');
    process.exit(wrongConfiguration);
  }
  if (!checkGaps) log.warn('GAPS ARE NOT CHECKED, by USHER_TEST_NO_GAP_CHECK: events are lost without a word');

  process.on('unhandledRejection', (error) => log.error({ err: error }, 'A promise was left alone'));
  for (const warning of config.warnings) log.warn(warning);

  const server = await startServer({ config, log, topics, checkGaps }).catch(async (error: unknown) => {
    log.fatal({ err: error }, 'The server could not start');
    await flushLog(log);
    process.exit(1);
  });

  log.info({ url: server.url, instanceId: server.instanceId }, 'listening');
  if (config.authDisabled) log.info(`Watch a live event arrive: bun run demo ${server.url}`);

  return {
    async leave(signal) {
      log.info({ signal }, 'leaving');
      // Whatever hangs in there, a supervisor kills what is still here after its own deadline, and counts it as a crash.
      const late = new Promise<void>((resolve) => {
        setTimeout(() => {
          log.warn('the time to leave is over');
          resolve();
        }, config.drainTimeoutMs * 0.99);
      });
      const leaving = server
        .drain()
        .then(() => server.close())
        .catch((error: unknown) => log.error({ err: error }, 'Leaving failed'));
      await Promise.race([leaving, late]);
      log.info('left');
      await flushLog(log, { timeoutMs: 200 });
    },
    async cutShort(signal) {
      log.warn({ signal }, 'told twice: left without waiting for anybody');
      await flushLog(log, { timeoutMs: 100 });
    },
  };
}

async function readTopics(path: string): Promise<readonly TopicDefinition[]> {
  try {
    const module = (await import(pathToFileURL(path).href)) as { default?: unknown };
    if (!Array.isArray(module.default)) throw new TypeError('Wanted an array of topic definitions as default export');
    return module.default as readonly TopicDefinition[];
  } catch (error) {
    process.stderr.write(`TOPICS_MODULE: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(wrongConfiguration);
  }
}
