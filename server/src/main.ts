import process from 'node:process';
import { pathToFileURL } from 'node:url';
import type { TopicDefinition } from '@usher/contracts';
import { readConfig } from './config/config.ts';
import { createLog, flushLog } from './log.ts';
import { startServer } from './server.ts';

/** EX_CONFIG of sysexits.h: nothing but another configuration helps. */
const wrongConfiguration = 78;

const read = readConfig(process.env);
if (!read.ok) {
  for (const { variable, message } of read.faults) process.stderr.write(`${variable}: ${message}\n`);
  process.exit(wrongConfiguration);
}
const { config } = read;
const log = createLog({ level: config.logLevel });

let topics: readonly TopicDefinition[] = [];
if (config.topicsModule !== null) {
  try {
    const module = (await import(pathToFileURL(config.topicsModule).href)) as { default?: unknown };
    if (!Array.isArray(module.default)) throw new TypeError('Wanted an array of topic definitions as default export');
    topics = module.default as readonly TopicDefinition[];
  } catch (error) {
    process.stderr.write(`TOPICS_MODULE: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(wrongConfiguration);
  }
}

process.on('unhandledRejection', (error) => log.error({ err: error }, 'A promise was left alone'));
for (const warning of config.warnings) log.warn(warning);

const server = await startServer({ config, log, topics }).catch(async (error: unknown) => {
  log.fatal({ err: error }, 'The server could not start');
  await flushLog(log);
  process.exit(1);
});

let leaving = false;
const leave = async (signal: string): Promise<void> => {
  if (leaving) return;
  leaving = true;
  log.info({ signal }, 'leaving');
  await server.drain();
  await server.close();
  log.info('left');
  await flushLog(log);
  process.exit(0);
};
process.on('SIGTERM', () => void leave('SIGTERM'));
process.on('SIGINT', () => void leave('SIGINT'));

log.info({ url: server.url, instanceId: server.instanceId }, 'listening');
if (config.authDisabled) log.info(`Watch a live event arrive: bun run demo ${server.url}`);
