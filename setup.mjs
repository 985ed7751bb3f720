#!/usr/bin/env node
// What `npm start`, `npm test`, `bun start` and the like call: sees that everything a command needs is there, then runs
// it under Bun. Written for Node 20 and Bun alike, with no dependency, since it runs before any is installed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const toolsFolder = join(root, '.usher');
const workspaces = ['contracts', 'client', 'server', 'test', 'load'];

/** What may be run: the file Bun runs, and the requirements besides Bun itself. */
const commands = {
  start: { file: 'server/src/main.ts', needs: [] },
  demo: { file: 'load/demo.ts', needs: [] },
  bench: { file: (name) => `load/bench/${name}.ts`, needs: ['redis-server'] },
  audit: { file: 'load/audit/main.ts', needs: ['redis-server'] },
  doctor: { file: 'load/doctor/main.ts', needs: [] },
  test: { file: 'test/gate/ok.ts', needs: ['redis-server', 'haproxy', 'chromium', 'deno', 'curl', 'python3', 'k6'] },
};

/**
 * A requirement is one entry. `least`: the oldest version that does, compared with what `--version` prints; then where
 * it comes from when it is missing: `npm` and `go` install into .usher/, `apt` asks for root or sudo. `optional`: what
 * needs it says by itself that it was left out.
 */
const requirements = {
  bun: { least: '1.4.5', npm: 'bun@1.4.5' },
  deno: { least: '2.9.0', npm: 'deno@2.9.6' },
  'redis-server': { least: '7.0.0', apt: 'redis-server' },
  curl: { least: '7.70.0', apt: 'curl' },
  haproxy: { least: '2.4.0', apt: 'haproxy', version: '-v' },
  chromium: { least: '100.0.0', apt: 'chromium' },
  python3: { least: '3.9.0', apt: 'python3' },
  k6: { least: '1.6.0', go: 'go.k6.io/k6/v2@v2.2.0', version: 'version', optional: true },
};

const say = (line) => process.stderr.write(`usher: ${line}\n`);
const fail = (line) => {
  say(line);
  process.exit(1);
};

const onPath = (process.env.PATH ?? '').split(delimiter).filter(Boolean);

/** Where a program of this name may be: on PATH, in .usher/, or where Debian puts daemons. */
function* places(name) {
  // A machine without Node runs this file by the Bun it has, perhaps under the name `node` [bun run].
  if (name === 'bun' && process.versions.bun) yield realpathSync(process.execPath);
  for (const folder of onPath) yield join(folder, name);
  yield join(toolsFolder, name, 'node_modules', '.bin', name);
  yield join(toolsFolder, name, name);
  yield join('/usr/sbin', name);
}

const isProgram = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

function find(name) {
  const { least, version = '--version' } = requirements[name] ?? {};
  for (const path of places(name)) {
    if (!isProgram(path)) continue;
    if (!least) return path;
    const { stdout } = spawnSync(path, [version], { encoding: 'utf8', timeout: 20_000 });
    const found = /\d+\.\d+\.\d+/.exec(stdout ?? '')?.[0];
    if (found && isAtLeast(found, least)) return path;
  }
  return null;
}

function isAtLeast(found, least) {
  const [a, b] = [found.split('.').map(Number), least.split('.').map(Number)];
  const index = a.findIndex((part, i) => part !== b[i]);
  return index === -1 || a[index] > b[index];
}

/** Runs a step of the installation; what it prints is shown on stderr, as stdout is the command's own. */
function step(program, args, options = {}) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  return status === 0 ? null : `"${[program, ...args].join(' ')}" ${error ? error.message : `ended with ${status}`}`;
}

/** Installs into a folder of its own and moves it into place whole, so that a broken download is never found later. */
function intoTools(name, install) {
  const [folder, fresh] = [join(toolsFolder, name), join(toolsFolder, `${name}.${process.pid}`)];
  mkdirSync(fresh, { recursive: true });
  const fault = install(fresh);
  if (!fault) {
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
  }
  rmSync(fresh, { recursive: true, force: true });
  return fault;
}

const installers = {
  npm: (name, wanted) =>
    intoTools(name, (folder) => {
      const npm = find('npm');
      if (npm) return step(npm, ['install', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error', wanted]);
      const bun = find('bun') ?? (process.versions.bun ? process.execPath : null);
      if (!bun) return 'neither npm nor Bun is on PATH';
      writeFileSync(join(folder, 'package.json'), '{}');
      return step(bun, ['add', '--trust', wanted], { cwd: folder });
    }),
  go: (name, wanted) =>
    intoTools(name, (folder) => {
      const go = find('go');
      if (!go) return 'go is not on PATH';
      // Not `go install`, which asks the module's own site for its newest version, where the proxy would do.
      const options = { cwd: folder, env: { ...process.env, CGO_ENABLED: '0' } };
      return (
        step(go, ['mod', 'init', 'usher/tools'], options) ??
        step(go, ['mod', 'edit', `-require=${wanted}`], options) ??
        step(go, ['build', '-mod=mod', '-o', name, wanted.replace(/@.*/, '')], options)
      );
    }),
  apt: (_name, wanted) => {
    const apt = find('apt-get');
    if (!apt) return 'there is no apt-get here: install it with the package manager of this machine';
    const before = process.getuid?.() === 0 ? [] : [find('sudo')];
    if (before[0] === null) return `this takes root: run "apt-get install ${wanted}"`;
    const [program, ...args] = [...before, 'env', 'DEBIAN_FRONTEND=noninteractive', apt, '-qq', '-o=Dpkg::Use-Pty=0'];
    step(program, [...args, 'update']);
    return step(program, [...args, 'install', '-y', '--no-install-recommends', wanted]);
  },
};

/** Finds a requirement or installs it; answers its path, `null` for an optional one that cannot be had. */
function need(name) {
  const found = find(name);
  if (found) return found;
  const { least, optional } = requirements[name];
  const how = Object.keys(installers).find((key) => requirements[name][key]);
  say(`${name} ${least} or newer is not on PATH: installing ${requirements[name][how]} (${how})`);
  const fault = installers[how](name, requirements[name][how]);
  const path = find(name);
  if (path) return path;
  const problem = `${name} ${least} or newer is needed, and could not be installed: ${fault ?? 'it does not run here'}`;
  if (!optional) fail(problem);
  say(problem);
  return null;
}

/** Installs the packages of bun.lock, unless exactly they were installed before. */
function installPackages(bun) {
  const files = ['bun.lock', 'package.json', ...workspaces.map((name) => join(name, 'package.json'))];
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(join(root, file)));
  const stamp = join(root, 'node_modules', '.usher-installed');
  const wanted = hash.digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('installing the packages of bun.lock');
  const fault = step(bun, ['install', '--frozen-lockfile']);
  if (fault) fail(`The packages could not be installed: ${fault}`);
  writeFileSync(stamp, wanted);
}

/** One installation at a time in this folder: `npm start` and `npm test` may be typed side by side. */
function alone(work) {
  const lock = join(toolsFolder, 'lock');
  mkdirSync(toolsFolder, { recursive: true });
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!isAlive(lock)) rmSync(lock, { force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
  const release = () => rmSync(lock, { force: true });
  process.once('exit', release);
  const result = work();
  process.off('exit', release);
  release();
  return result;
}

function isAlive(lock) {
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Runs the command under Bun, as if it had been started itself: same stdio, signals handed on, same exit code. */
function run(bun, args, tools) {
  // In front, since an older one may be what PATH has.
  const path = [...tools.map(dirname).filter((folder) => !onPath.includes(folder)), ...onPath].join(delimiter);
  const child = spawn(bun, args, { cwd: root, stdio: 'inherit', env: { ...process.env, PATH: path } });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(`Bun could not be started: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (code !== null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

const [name = '', ...args] = process.argv.slice(2);
if (name === 'need') {
  // Installs single requirements: `node setup.mjs need haproxy k6`.
  const unknown = args.filter((arg) => !Object.hasOwn(requirements, arg));
  if (unknown.length > 0)
    fail(`Known are ${Object.keys(requirements).join(', ')}: current value is "${unknown.join(' ')}"`);
  for (const path of alone(() => args.map(need))) if (path) process.stdout.write(`${path}\n`);
} else if (Object.hasOwn(commands, name)) {
  const { file, needs } = commands[name];
  const entry = typeof file === 'string' ? file : file(args.shift() ?? '');
  if (!existsSync(join(root, entry))) fail(`There is no ${entry}`);
  const tools = alone(() => {
    const found = ['bun', ...needs].map(need);
    installPackages(found[0]);
    return found.filter((path) => path !== null);
  });
  run(tools[0], [entry, ...args], tools);
} else {
  fail(`Wanted one of ${[...Object.keys(commands), 'need'].join(', ')}: current value is "${name}"`);
}
