import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { root } from './step.ts';

interface PackageJson {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const literal = (name: string): string => name.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/** Whether a source imports the package or a path in it. */
const mentions = (source: string, name: string): boolean =>
  new RegExp(`(from|import|import\\()\\s*['"]${literal(name)}(/[^'"]*)?['"]`).test(source);

test('mentions() finds imports of a package and of its paths, and no longer names', () => {
  expect(mentions(`import { a } from '@trpc/server/adapters/ws';`, '@trpc/server')).toBe(true);
  expect(mentions(`await import('redis')`, 'redis')).toBe(true);
  expect(mentions(`import { a } from 'redis-mock';`, 'redis')).toBe(false);
});

test.each(['contracts', 'client', 'server', 'test', 'load'])('%s imports every package it depends on', async (name) => {
  const manifest = (await Bun.file(join(root, name, 'package.json')).json()) as PackageJson;
  const files = [...new Bun.Glob('**/*.ts').scanSync({ cwd: join(root, name) })].filter(
    (file) => !/node_modules\/|dist\//.test(file),
  );
  const sources = await Promise.all(files.map((file) => Bun.file(join(root, name, file)).text()));
  const wanted = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  const unused = wanted.filter((dependency) => !sources.some((source) => mentions(source, dependency)));
  expect(unused).toEqual([]);
});
