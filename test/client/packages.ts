import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dir, '../..');
export const bin = (name: string) => join(root, 'test/node_modules/.bin', name);
export const tsc = join(root, 'node_modules/.bin/tsc');

/** Runs a program, and fails with what it printed. */
export async function run(command: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  const child = Bun.spawn([...command], { cwd, env: { ...process.env, ...env }, stdout: 'pipe', stderr: 'pipe' });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${out}\n${err}`);
  return out + err;
}

export interface Packages extends AsyncDisposable {
  readonly directory: string;
  /** The packed tarballs, by package name. */
  readonly tarballs: Readonly<Record<'@usher/contracts' | '@usher/client', string>>;
}

/** Builds and packs contracts and client, in a copy: the workspace stays as it is, whoever else builds. */
export async function packPackages(): Promise<Packages> {
  const directory = await mkdtemp(join(tmpdir(), 'usher-packages-'));
  const skip = (source: string) => !/\/(node_modules|dist)(\/|$)/.test(source.slice(root.length));
  for (const file of ['package.json', 'bun.lock', 'tsconfig.json']) await cp(join(root, file), join(directory, file));
  for (const name of ['contracts', 'client', 'server', 'test', 'load']) {
    const whole = name === 'contracts' || name === 'client';
    const from = whole ? name : join(name, 'package.json');
    await cp(join(root, from), join(directory, from), { recursive: true, filter: skip });
  }
  for (const name of ['contracts', 'client']) {
    await mkdir(join(directory, name, 'node_modules/@usher'), { recursive: true });
    const installed = join(root, name, 'node_modules');
    await symlink(join(installed, '@trpc'), join(directory, name, 'node_modules/@trpc'));
    if (name === 'contracts') await symlink(join(installed, 'zod'), join(directory, name, 'node_modules/zod'));
    else await symlink(join(directory, 'contracts'), join(directory, name, 'node_modules/@usher/contracts'));
  }
  const tarballs: Record<string, string> = {};
  for (const name of ['contracts', 'client'] as const) {
    const cwd = join(directory, name);
    await run([tsc, '-p', 'build.tsconfig.json'], cwd);
    await run([process.execPath, 'pm', 'pack', '--destination', directory], cwd);
    tarballs[`@usher/${name}`] = join(directory, `usher-${name}-0.1.0.tgz`);
  }
  return {
    directory,
    tarballs: tarballs as Packages['tarballs'],
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** An empty project with the packed packages and one version of tRPC installed. */
export async function createProject(packages: Packages, name: string, trpcVersion: string): Promise<string> {
  const project = join(packages.directory, name);
  await mkdir(project, { recursive: true });
  const { '@usher/client': client, '@usher/contracts': contracts } = packages.tarballs;
  await Bun.write(
    join(project, 'package.json'),
    JSON.stringify({
      name,
      private: true,
      type: 'module',
      dependencies: {
        '@trpc/client': trpcVersion,
        '@trpc/server': trpcVersion,
        '@usher/client': `file:${client}`,
        '@usher/contracts': `file:${contracts}`,
        ws: '8.23.0',
      },
      // Not in a registry: what the client depends on is the other tarball.
      overrides: { '@usher/contracts': `file:${contracts}`, '@trpc/server': trpcVersion },
    }),
  );
  await run([process.execPath, 'install', '--linker=hoisted'], project);
  return project;
}
