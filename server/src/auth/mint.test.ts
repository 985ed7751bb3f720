import { describe, expect, test } from 'bun:test';
import { decodeJwt } from 'jose';
import { readConfig } from '../config/config.ts';
import { createLog } from '../log.ts';
import { withToken } from './auth-request.fixture.ts';
import { createAuthenticator } from './create-authenticator.ts';
import { mint } from './mint.ts';

const secret = 'a-secret-of-at-least-thirty-two-bytes';
const env = { JWT_SECRET: secret };
const nowMs = 1_800_000_000_000;
const claimsOf = async (...args: string[]) => decodeJwt((await mint(args, env, () => nowMs)).stdout.trim());

describe('mint()', () => {
  test('makes a token the server accepts, with what was asked for', async () => {
    const rotating = { JWT_SECRET: `${secret},${secret}-old`, JWT_ISSUER: 'https://id.example', JWT_AUDIENCE: 'usher' };
    const args = [
      '--user',
      'ada',
      '--session',
      's1',
      '--scope',
      'publish',
      '--scope',
      'admin',
      '--topics',
      'job:*,process:7',
    ];
    const { exitCode, stdout } = await mint(args, rotating);
    expect(exitCode).toBe(0);
    const read = readConfig(rotating);
    if (!read.ok) throw new Error(JSON.stringify(read.faults));
    const authenticate = createAuthenticator({ config: read.config, log: createLog({ level: 'silent' }) });
    expect(await authenticate(withToken(stdout.trim()))).toMatchObject({
      ok: true,
      principal: { userId: 'ada', sessionId: 's1', scopes: ['publish', 'admin'], topics: ['job:*', 'process:7'] },
    });
  });

  test('gives no scope and no topic by itself, a session of its own, and an hour', async () => {
    const claims = await claimsOf('--user', 'ada');
    expect(claims).toMatchObject({ sub: 'ada', scope: '', topics: [], exp: nowMs / 1_000 + 3_600 });
    expect((await claimsOf('--user', 'ada')).sid).not.toBe(claims.sid);
  });

  for (const [ttl, seconds] of [
    ['90', 90],
    ['90s', 90],
    ['15m', 900],
    ['2h', 7_200],
    ['7d', 604_800],
  ] as const) {
    test(`makes it good for ${ttl}`, async () => {
      expect((await claimsOf('--user', 'ada', '--ttl', ttl)).exp).toBe(nowMs / 1_000 + seconds);
    });
  }

  for (const args of [
    ['--session', 's1'],
    ['--user', ''],
    ['--user', 'ada', '--ttl', 'soon'],
    ['--user', 'ada', '--ttl', '0'],
    ['--user', 'ada', '--admin'],
    ['ada'],
  ]) {
    test(`exits 64 and points to --help with ${JSON.stringify(args)}`, async () => {
      const result = await mint(args, env);
      expect(result).toMatchObject({ exitCode: 64, stdout: '' });
      expect(result.stderr).toContain('--help');
    });
  }

  test('explains itself', async () => {
    expect(await mint(['--help'], {})).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await mint(['-h'], {})).stdout).toContain('--user <id>');
    expect(await mint([], env)).toMatchObject({ exitCode: 64 });
  });

  test('suggests a secret that works where there is none', async () => {
    const result = await mint(['--user', 'ada'], {});
    expect(result).toMatchObject({ exitCode: 78, stdout: '' });
    const suggested = /JWT_SECRET=(\w+)/.exec(result.stderr)?.[1];
    expect((await mint(['--user', 'ada'], { JWT_SECRET: suggested })).exitCode).toBe(0);
  });

  test('says what is wrong with a secret without printing it', async () => {
    const result = await mint(['--user', 'ada'], { JWT_SECRET: 'planted' });
    expect(result.exitCode).toBe(78);
    expect(result.stderr).toContain('32 bytes');
    expect(result.stderr).not.toContain('planted');
  });
});
