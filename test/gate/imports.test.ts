import { afterAll, describe, expect, test } from 'bun:test';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { root, run } from './step.ts';

const sources = (pattern: string): string[] =>
  [...new Bun.Glob(pattern).scanSync({ cwd: root })].filter((file) => !/node_modules\/|dist\//.test(file));
const text = (file: string): Promise<string> => Bun.file(join(root, file)).text();

describe('biome.json', async () => {
  const house = await mkdtemp(join(tmpdir(), 'usher-imports-'));
  afterAll(() => rm(house, { recursive: true }));
  // The rules alone, in a house where nothing but the wrong line is wrong.
  const rules = JSON.parse(await text('biome.json')) as Record<string, unknown>;
  const config = JSON.stringify({ ...rules, $schema: undefined, vcs: { enabled: false } });
  await writeFile(join(house, 'biome.json'), config);
  for (const name of ['contracts', 'client', 'server']) {
    await mkdir(join(house, name));
    await cp(join(root, name, 'package.json'), join(house, name, 'package.json'));
  }

  const lint = async (file: string, line: string): Promise<string> => {
    await mkdir(dirname(join(house, file)), { recursive: true });
    await writeFile(join(house, file), `${line}\n`);
    const { output } = await run(['biome', 'lint', `--config-path=${house}`, join(house, file)]);
    return output;
  };

  test.each([
    ['contracts/src/a.ts', `import type { A } from '../../server/src/a.ts'; export type B = A;`],
    ['contracts/src/b.ts', `import type { A } from '@usher/client'; export type B = A;`],
    ['contracts/src/c.ts', `import { a } from 'node:fs'; export const b = a;`],
    ['client/src/a.ts', `import { a } from '@usher/server/testing'; export const b = a;`],
    ['client/src/b.ts', `import { a } from '../../contracts/src/codes.ts'; export const b = a;`],
    ['client/src/c.ts', `import { a } from 'zod'; export const b = a;`],
    ['client/src/d.ts', `import { a } from 'redis'; export const b = a;`],
    ['server/src/a.ts', `import { a } from '@usher/client'; export const b = a;`],
    ['server/src/topics/b.ts', `export { a } from '../../../client/src/a.ts';`],
    ['server/src/c.ts', `import { a } from 'bun'; export const b = a;`],
  ])('refuses in %s: %s', async (file, line) => {
    expect(await lint(file, line)).toContain('noRestrictedImports');
  });

  test.each([
    ['server/src/d.ts', 'export const a = Bun.version;'],
    ['server/src/e.ts', 'export const a = Deno.version;'],
    ['client/src/e.ts', 'export type A = Bun.Server<unknown>;'],
  ])('refuses in %s: %s', async (file, line) => {
    expect(await lint(file, line)).toContain('noRestrictedGlobals');
  });

  test.each([
    ['client/src/f.ts', `import { codes } from '@usher/contracts/codes'; export const a = codes;`],
    ['server/src/f.ts', `import { codes } from '@usher/contracts'; export const a = codes;`],
    ['server/src/runtime/a.ts', 'export const a = Bun.version;'],
  ])('accepts in %s: %s', async (file, line) => {
    expect(await lint(file, line)).not.toMatch(/noRestricted|noUndeclared/);
  });

  test('refuses a package that package.json does not name', async () => {
    expect(await lint('client/src/g.ts', `import { a } from 'jose'; export const b = a;`)).toContain('jose');
  });
});

test('globalThis is not a way round: Bun and Deno are asked for in server/src/runtime only', async () => {
  const files = sources('{contracts,client,server}/src/**/*.ts').filter(
    (file) => !file.startsWith('server/src/runtime/') && !file.endsWith('.test.ts'),
  );
  const found = [];
  for (const file of files) {
    if (/\b(Bun|Deno)\b.*\bglobalThis\b|\bglobalThis\b.*\b(Bun|Deno)\b/.test(await text(file))) found.push(file);
  }
  expect(files.length).toBeGreaterThan(20);
  expect(found).toEqual([]);
});

describe('k6', async () => {
  const transpiler = new Bun.Transpiler({ loader: 'ts' });
  const importsOf = async (file: string): Promise<string[]> =>
    transpiler.scanImports(await text(file)).map(({ path }) => path);
  const isK6 = (name: string): boolean => name === 'k6' || name.startsWith('k6/');

  /** What k6 could not resolve, of a script and of everything it imports. */
  const faultsOf = async (file: string, seen = new Set<string>()): Promise<string[]> => {
    if (seen.has(file)) return [];
    seen.add(file);
    const faults = [];
    for (const name of await importsOf(file)) {
      if (isK6(name)) continue;
      if (!name.startsWith('.')) faults.push(`${file}: ${name}`);
      else faults.push(...(await faultsOf(join(dirname(file), name), seen)));
    }
    return faults;
  };

  const scripts = [];
  for (const file of sources('load/**/*.ts')) if ((await importsOf(file)).some(isK6)) scripts.push(file);

  test.each(scripts)('can resolve everything that %s imports', async (script) => {
    expect(await faultsOf(script)).toEqual([]);
  });

  test('can read what contracts promises to load scripts', async () => {
    expect(await faultsOf('contracts/src/codes.ts')).toEqual([]);
    expect(await faultsOf('contracts/src/limits.ts')).toEqual([]);
    expect(await faultsOf('contracts/src/inputs.ts')).toContain('contracts/src/inputs.ts: zod');
  });
});
