import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { examples } from '../gate/readme.ts';
import { startServer } from '../harness/server.ts';
import { root, run, tsc } from './packages.ts';

setDefaultTimeout(60_000);

const readme = await Bun.file(join(root, 'client/README.md')).text();
const folder = join(root, 'test/client/.examples');
afterAll(() => rm(folder, { recursive: true, force: true }));

test('the examples of the client compile, React hook and all', async () => {
  await mkdir(folder, { recursive: true });
  const hooks = [...readme.matchAll(/```tsx\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  const found = [...examples(readme), ...hooks];
  expect(found.length).toBeGreaterThan(6);
  for (const [at, text] of found.entries()) await Bun.write(join(folder, `example-${at}.ts`), `${text}\nexport {};\n`);
  // The little of React that a hook needs; React itself is not a dependency.
  const react = `declare module 'react' {
    export function useState<T>(initial: T): [T, (next: T) => void];
    export function useEffect(effect: () => (() => void) | undefined, dependencies: readonly unknown[]): void;
  }`;
  await Bun.write(join(folder, 'react.d.ts'), react);
  const compilerOptions = { types: ['bun-types'], lib: ['ES2023', 'ESNext.Disposable', 'DOM', 'DOM.AsyncIterable'] };
  const config = { extends: '../../../tsconfig.json', compilerOptions, include: ['*.ts'] };
  await Bun.write(join(folder, 'tsconfig.json'), JSON.stringify(config));
  await run([tsc, '-p', folder], root);
  for (const hook of hooks) expect(hook.trim().split('\n').length).toBeLessThanOrEqual(15);
});

test('the publisher example runs, and so does its curl line', async () => {
  await using server = await startServer({ env: { JWT_SECRET: '', DISABLE_AUTH: 'true' } });
  const here = (text: string) => text.replaceAll('http://127.0.0.1:8787', server.url);
  const example = examples(readme).find((text) => text.includes('createPublisher')) ?? '';
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'publisher.ts');
  await Bun.write(file, here(example));
  expect(await run([process.execPath, file], root)).toBe('');
  const answer = await fetch(`${server.url}/trpc/topic.history?input=${encodeURIComponent('{"topic":"job:42"}')}`);
  const { result } = (await answer.json()) as { result: { data: { events: { name: string }[] } } };
  expect(result.data.events.map(({ name }) => name)).toEqual([
    'job_started',
    'file_completed',
    'file_completed',
    'job_completed',
  ]);
  const [curl = ''] = readme.match(/^curl .*$/m) ?? [];
  const line = `${here(curl)} -s -o /dev/null -w '%{http_code}'`;
  expect(await run(['sh', '-c', line], root, { TOKEN: 'development' })).toBe('200');
});
