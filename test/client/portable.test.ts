import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { join } from 'node:path';
import { startProxy, type TcpProxy } from '../harness/proxy.ts';
import { type Server, startServer } from '../harness/server.ts';
import { publisherToken } from '../harness/tokens.ts';
import { createProject, type Packages, packPackages, run } from './packages.ts';

setDefaultTimeout(180_000);

let packages: Packages;
let server: Server;
let proxy: TcpProxy;
let control: Bun.Server<undefined>;

beforeAll(async () => {
  packages = await packPackages();
  server = await startServer({ env: { TICKETS_PER_MINUTE: '1000', TOPIC_MAX_EVENTS: '20000' } });
  proxy = await startProxy(server.port);
  control = Bun.serve({
    port: 0,
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === '/token') {
        const expiresInSeconds = Number(searchParams.get('expiresInSeconds'));
        return new Response(await publisherToken({ expiresInSeconds }));
      }
      const fault = pathname.slice(1) as 'cut' | 'drop' | 'pass';
      proxy[fault]();
      return new Response('done');
    },
  });
});

afterAll(async () => {
  await control.stop(true);
  await proxy[Symbol.asyncDispose]();
  await server.kill();
  await packages[Symbol.asyncDispose]();
});

for (const version of ['11.22.1', '11.25.2']) {
  test(`the portable suite passes in Node 20, Bun and Deno over tRPC ${version}`, async () => {
    const project = await createProject(packages, `portable-${version}`, version);
    const setting = JSON.stringify({
      url: server.url,
      proxyPort: proxy.port,
      controlUrl: control.url.href.replace(/\/$/, ''),
      movesFirst: version !== '11.22.1',
    });
    const built = await Bun.build({
      entrypoints: [join(import.meta.dir, 'portable/suite.ts')],
      external: ['@usher/*', '@trpc/*', 'ws'],
      target: 'browser',
      banner: `globalThis.settingOfSuite = ${JSON.stringify(setting)};`,
    });
    await Bun.write(join(project, 'suite.mjs'), (await built.outputs[0]?.text()) ?? '');
    for (const command of [
      ['node', 'suite.mjs'],
      [process.execPath, 'suite.mjs'],
      ['deno', 'run', '--allow-all', '--no-lock', 'suite.mjs'],
    ]) {
      const output = await run(command, project);
      expect(output, command[0]).toContain('7 passed, 0 failed');
    }
  });
}
