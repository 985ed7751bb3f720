import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { bin, createProject, type Packages, packPackages, root, run, tsc } from './packages.ts';

setDefaultTimeout(180_000);

/** The budget of the client without tRPC itself. */
const maxBundleBytes = 8_192;

let packages: Packages;
let project: string;
beforeAll(async () => {
  packages = await packPackages();
  project = await createProject(packages, 'sample', '11.25.2');
  await Bun.write(join(project, 'sample.ts'), sample);
});
afterAll(() => packages[Symbol.asyncDispose]());

const sample = `
import { createUsher, isUsherError } from '@usher/client';
import { createPublisher } from '@usher/client/publisher';

const url = process.env.USHER_URL!;
const token = process.env.USHER_TOKEN!;
const { default: ws } = await import('ws');
const WebSocket = (globalThis.WebSocket ?? ws) as typeof globalThis.WebSocket;
await using usher = createUsher({ url, token, WebSocket });
const job = usher.topic('job', 'sample-' + Math.random());
await job.create({ state: { status: 'pending' } });
await using publisher = createPublisher({ url, token });
const files: string[] = [];
for await (const item of job.subscribe()) {
  if (item.type === 'snapshot') {
    const status: 'pending' | 'running' | 'completed' | 'failed' | undefined = item.state?.status;
    if (status !== 'pending') throw new Error('Wanted pending: ' + status);
    void publisher.publish({ topic: job.topic, name: 'file_completed', data: { file: 'a.pdf' } });
    void publisher.publish({ topic: job.topic, name: 'job_completed' });
  }
  if (item.type === 'event' && item.event.name === 'file_completed') files.push(item.event.data.file);
}
const refused: unknown = await job.publish('job_started', {}).catch((error: unknown) => error);
if (!isUsherError(refused) || refused.code !== 'TOPIC_CLOSED') throw refused;
console.log('sample read ' + files.join());
`;

test('publint and attw find nothing wrong with the tarballs', async () => {
  for (const tarball of Object.values(packages.tarballs)) {
    expect(await run([bin('publint'), 'run', tarball, '--strict'], root)).toContain('All good!');
    await run([bin('attw'), '--profile', 'esm-only', tarball], root);
  }
});

test('the tarballs hold no tests, and nothing but what a user needs', async () => {
  for (const tarball of Object.values(packages.tarballs)) {
    const files = (await run(['tar', 'tzf', tarball], root)).trim().split('\n');
    expect(files.filter((file) => !/^package\/(dist|src|package\.json|README\.md|LICENSE)/.test(file))).toEqual([]);
    expect(files.filter((file) => /\.(test|fixture)\./.test(file))).toEqual([]);
  }
});

for (const [module, moduleResolution] of [
  ['nodenext', 'nodenext'],
  ['preserve', 'bundler'],
] as const) {
  test(`the sample is type-checked against the emitted types, module ${module}`, async () => {
    const config = join(project, `tsconfig.${module}.json`);
    const compilerOptions = {
      module,
      moduleResolution,
      target: 'es2023',
      lib: ['es2023', 'esnext.disposable', 'dom', 'dom.iterable', 'dom.asynciterable'],
      strict: true,
      noEmit: true,
      types: [],
    };
    const declare = join(project, 'ambient.d.ts');
    await Bun.write(
      declare,
      'declare const process: { env: Record<string, string | undefined> };\ndeclare module "ws";\n',
    );
    await Bun.write(config, JSON.stringify({ compilerOptions, files: ['sample.ts', 'ambient.d.ts'] }));
    await run([tsc, '-p', config], project);
    await Bun.write(join(project, 'wrong.ts'), sample.replace("'pending' | ", ''));
    await Bun.write(config, JSON.stringify({ compilerOptions, files: ['wrong.ts', 'ambient.d.ts'] }));
    expect(run([tsc, '-p', config], project)).rejects.toThrow('"pending"');
  });
}

test('the sample runs from the tarballs under Node 20, Bun and Deno', async () => {
  await using server = await startServer();
  const env = { USHER_URL: server.url, USHER_TOKEN: await publisherToken() };
  // Node 20 takes no types, and knows no `using` yet.
  const emitted = [
    '--target',
    'es2022',
    '--module',
    'nodenext',
    '--outDir',
    'emitted',
    '--skipLibCheck',
    '--types',
    '',
  ];
  await run(
    [tsc, ...emitted, '--lib', 'es2023,esnext.disposable,dom', '--ignoreConfig', 'sample.ts', 'ambient.d.ts'],
    project,
  );
  for (const command of [
    ['node', 'emitted/sample.js'],
    [process.execPath, 'sample.ts'],
    ['deno', 'run', '--allow-all', '--no-lock', 'sample.ts'],
  ]) {
    expect(await run(command, project, env)).toContain('sample read a.pdf');
  }
});

test('the bundle of the client, without tRPC, holds to its budget and to the web', async () => {
  const entries = {
    'the whole entry': `export * from '@usher/client';`,
    createUsher: `export { createUsher } from '@usher/client';`,
    'the publisher': `export * from '@usher/client/publisher';`,
  };
  for (const [name, source] of Object.entries(entries)) {
    const entry = join(project, 'entry.js');
    await Bun.write(entry, source);
    const built = await Bun.build({
      entrypoints: [entry],
      root: project,
      minify: true,
      target: 'browser',
      conditions: ['import'],
      external: ['@trpc/client', '@trpc/server', '@trpc/server/observable'],
    });
    const text = (await built.outputs[0]?.text()) ?? '';
    const bytes = gzipSync(text, { level: 9 }).length;
    // biome-ignore lint/suspicious/noConsole: the number is what a reader of the gate's output wants to know
    console.log(`bundle of ${name}: ${bytes} bytes gzipped`);
    expect(bytes).toBeGreaterThan(2_000);
    expect(bytes).toBeLessThanOrEqual(maxBundleBytes);
    expect(text.match(/zod|ioredis|node:|createClient|Buffer\b|process\.env|\brequire\(|\bBun\b|\bDeno\b/g)).toBeNull();
    // Of tRPC, no server: the observable is what links are made of.
    expect([...new Set([...text.matchAll(/from ?"([^"]+)"/g)].map(([, from]) => from))].sort()).toEqual(
      name === 'the publisher' ? ['@trpc/client'] : ['@trpc/client', '@trpc/server/observable'],
    );
  }
});
