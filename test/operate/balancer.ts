import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { spawnChild } from '../harness/child.ts';
import type { Target } from '../harness/http.ts';
import { freePort } from '../harness/port.ts';
import { eventually, within } from '../harness/wait.ts';

const config = resolve(import.meta.dir, '../../ops/haproxy/haproxy.cfg');

/** HAProxy with the configuration operators are given, in front of two addresses. */
export interface Balancer extends Target, AsyncDisposable {
  /** Waits until it sends requests to this many instances. */
  readonly hasUp: (count: number) => Promise<void>;
}

export async function startBalancer(ports: readonly [number, number]): Promise<Balancer> {
  const program = Bun.which('haproxy') ?? '/usr/sbin/haproxy';
  const directory = await mkdtemp(join(tmpdir(), 'usher-haproxy-'));
  const control = join(directory, 'control');
  await writeFile(join(directory, 'control.cfg'), `global\n  stats socket ${control} level user\n`);
  const port = await freePort();
  const child = spawnChild([program, '-db', '-f', config, '-f', join(directory, 'control.cfg')], {
    env: {
      PATH: process.env.PATH ?? '',
      USHER_BIND: `127.0.0.1:${port}`,
      USHER_ONE: `127.0.0.1:${ports[0]}`,
      USHER_TWO: `127.0.0.1:${ports[1]}`,
    },
  });
  const up = async (): Promise<number> =>
    (await ask(control, 'show stat'))
      .split('\n')
      .filter((line) => /^usher,(one|two),/.test(line) && / UP|,UP,/.test(line)).length;
  return {
    url: `http://127.0.0.1:${port}`,
    hasUp: async (count) => {
      await eventually(async () => child.isRunning() && (await up()) === count, {
        what: () => `HAProxy to see ${count} instances; it printed:\n${child.lines.join('\n')}`,
      });
    },
    [Symbol.asyncDispose]: async () => {
      await child.kill();
      await rm(directory, { recursive: true });
    },
  };
}

/** One question to HAProxy's control socket. */
function ask(path: string, question: string): Promise<string> {
  const answer = new Promise<string>((resolve, reject) => {
    const socket = connect(path, () => socket.end(`${question}\n`));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
  return within(answer, { what: 'an answer of HAProxy' });
}
