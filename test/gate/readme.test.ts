import { afterAll, describe, expect, test } from 'bun:test';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { startServer } from '../harness/server.ts';
import { examples, readme, withTables } from './readme.ts';

const root = new URL('../..', import.meta.url).pathname;
const folder = `${root}test/.examples/`;
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('README', () => {
  test('has the tables that `bun test/gate/readme.ts` writes', () => {
    expect(readme()).toBe(withTables(readme()));
  });

  test('links to files that are there', async () => {
    for (const [, target] of readme().matchAll(/\]\((?!http)([^)#]+)\)/g)) {
      expect(await Bun.file(`${root}${target}`).exists()).toBe(true);
    }
  });

  test('has examples that compile', () => {
    mkdirSync(folder, { recursive: true });
    const found = examples(readme());
    expect(found.length).toBeGreaterThan(3);
    for (const [at, example] of found.entries()) writeFileSync(`${folder}example-${at}.ts`, `${example}\nexport {};\n`);
    writeFileSync(
      `${folder}tsconfig.json`,
      JSON.stringify({
        extends: '../../tsconfig.json',
        compilerOptions: { types: ['bun-types'], lib: ['ES2023', 'ESNext.Disposable', 'DOM', 'DOM.AsyncIterable'] },
        // Named by pattern: a folder whose name begins with a dot is left out of '.'.
        include: ['*.ts'],
      }),
    );
    const { exitCode, stdout } = Bun.spawnSync([`${root}node_modules/.bin/tsc`, '-p', folder]);
    expect(String(stdout)).toBe('');
    expect(exitCode).toBe(0);
  }, 60_000);

  test('has a test kit example that passes', () => {
    mkdirSync(folder, { recursive: true });
    const example = examples(readme()).find((text) => text.includes('startTestServer')) ?? '';
    writeFileSync(`${folder}kit.test.ts`, example);
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, 'test', `${folder}kit.test.ts`], { cwd: root });
    expect(String(stderr)).toContain('1 pass');
    expect(exitCode).toBe(0);
  }, 60_000);

  test('has curl lines that answer 200', async () => {
    await using server = await startServer({ env: { JWT_SECRET: '', DISABLE_AUTH: 'true' } });
    const lines = [...readme().matchAll(/^curl .*$/gm)].map(([line]) => line);
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) {
      const command = `${line.replaceAll('http://127.0.0.1:8787', server.url)} -s -o /dev/null -w '%{http_code}'`;
      const { stdout } = Bun.spawnSync(['sh', '-c', command], { env: { ...process.env, TOKEN: 'development' } });
      expect(`${line}: ${stdout}`).toBe(`${line}: 200`);
    }
  }, 30_000);
});
