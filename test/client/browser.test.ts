import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { freePort } from '../harness/port.ts';
import { startProxy, type TcpProxy } from '../harness/proxy.ts';
import { type Redis, startRedis } from '../harness/redis.ts';
import { type Server, startServer } from '../harness/server.ts';
import { eventually } from '../harness/wait.ts';
import type { App } from './browser/main.ts';
import { bin, createProject, type Packages, packPackages, run } from './packages.ts';
import { readerToken, startTraffic } from './scene.ts';

setDefaultTimeout(120_000);

const executablePath = Bun.which('chromium') ?? Bun.which('google-chrome') ?? Bun.which('chromium-browser');

let packages: Packages;
let redis: Redis;
let server: Server;
let proxy: TcpProxy;
let site: Bun.Server<undefined>;
let browser: Browser;
let page: Page;
let env: Record<string, string>;

const read = () => page.evaluate(() => (globalThis as unknown as { app: App }).app.read());
const until = (accepts: (state: Awaited<ReturnType<typeof read>>) => boolean, what: string) =>
  eventually(
    async () => {
      const state = await read();
      if (accepts(state)) return state;
      throw new Error(JSON.stringify({ ...state, numbers: undefined }));
    },
    { what, timeoutMs: 30_000 },
  );

beforeAll(async () => {
  if (!executablePath) return;
  packages = await packPackages();
  const project = await createProject(packages, 'site', '11.25.2');
  await cp(join(import.meta.dir, 'browser/main.ts'), join(project, 'main.ts'));
  await Bun.write(
    join(project, 'index.html'),
    '<!doctype html><title>-</title><script type="module" src="/main.ts"></script>',
  );
  await run([bin('vite'), 'build', '--logLevel', 'error'], project);
  site = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const file = Bun.file(join(project, 'dist', pathname === '/' ? 'index.html' : pathname));
      return (await file.exists()) ? new Response(file) : new Response('', { status: 404 });
    },
  });
  redis = await startRedis({ persist: true });
  env = {
    REDIS_URL: redis.url,
    PORT: String(await freePort()),
    ALLOWED_ORIGINS: site.url.origin,
    TOPIC_MAX_EVENTS: '50000',
    TICKETS_PER_MINUTE: '1000',
  };
  server = await startServer({ env });
  proxy = await startProxy(server.port);
  browser = await chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  page = await browser.newPage();
});

afterAll(async () => {
  await browser?.close();
  await proxy?.[Symbol.asyncDispose]();
  await server?.kill();
  await redis?.[Symbol.asyncDispose]();
  await site?.stop(true);
  await packages?.[Symbol.asyncDispose]();
});

test.skipIf(!executablePath)(
  'in Chromium, through the bundle: every way a page is disturbed costs no event',
  async () => {
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(site.url.href);
    const topic = crypto.randomUUID();
    const setting = { url: server.url, token: await readerToken(), topic, proxyPort: proxy.port };
    await page.evaluate((given) => (globalThis as unknown as { app: App }).app.start(given), setting);
    await until(({ status, told }) => status === 'live' && told.includes('snapshot'), 'live');

    const traffic = startTraffic(server.url, topic, 20);
    await until(({ count }) => count > 20, 'events over the WebSocket');

    // Offline and online.
    await page.context().setOffline(true);
    await until(({ online, status }) => !online && status === 'connecting', 'offline');
    const offline = await read();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect((await read()).status).toBe('connecting');
    await page.context().setOffline(false);
    await until(({ status, count }) => status === 'live' && count > offline.count + 20, 'online');

    // The server is killed and started again.
    await server.kill();
    await until(({ status }) => status === 'polling', 'the loss of the server');
    server = await startServer({ env });
    const restarted = await until(({ status }) => status === 'live', 'the server back');
    await until(({ count }) => count > restarted.count + 20, 'events after the restart');

    // The WebSocket is blocked: polling, and the way back.
    proxy.cut();
    const fallen = await until(({ status }) => status === 'polling', 'the fallback');
    await until(({ count }) => count > fallen.count + 20, 'events by polling');
    proxy.pass();
    await until(({ status }) => status === 'live', 'the return');

    // The page is hidden and frozen, as a phone does it, loses its connection meanwhile, and is shown again. A headless
    // Chromium shows every page, so what the page is told of it is said by hand; the freeze is real.
    const session = await page.context().newCDPSession(page);
    const show = (state: 'hidden' | 'visible') =>
      page.evaluate((visibility) => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => visibility });
        document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
      }, state);
    await show('hidden');
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    proxy.drop();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await show('visible');
    const shown = await until(({ visibility, status }) => visibility === 'visible' && status === 'live', 'shown');
    await until(({ count }) => count > shown.count + 20, 'events once shown');

    const published = await traffic.stop();
    const end = await until(({ count }) => count >= published, 'the last event');
    expect(end.numbers.map((value) => (value as unknown as { n: number }).n)).toEqual(
      Array.from({ length: published }, (_, n) => n + 1),
    );
    expect([end.resets, errors, end.title]).toEqual([[], [], `current ${published}`]);
  },
);
