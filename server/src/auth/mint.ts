import { randomBytes, randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { SignJWT } from 'jose';
import { type Environment, readSecrets } from '../config/config.ts';

export interface MintResult {
  /** 0; 64 for wrong arguments (EX_USAGE), 78 for a wrong environment (EX_CONFIG). */
  readonly exitCode: 0 | 64 | 78;
  readonly stdout: string;
  readonly stderr: string;
}

const usage = `Usage: bun run token --user <id> [options]

Prints a JWT for development, signed with the first secret of JWT_SECRET (HS256).

  --user <id>         who it is for (claim "sub"); required
  --session <id>      its session (claim "sid"); a random one by default
  --scope <names>     publish, admin; separated by spaces or commas, or given several times
  --topics <patterns> topics that may be read: job:42, job:*, *; separated by commas, or given several times
  --ttl <time>        how long it is good: 90s, 15m, 1h, 7d; 1h by default
  --issuer <iss>      JWT_ISSUER by default
  --audience <aud>    JWT_AUDIENCE by default
  -h, --help          this text

  TOKEN=$(bun run --silent token --user ada --scope publish --topics 'job:*')
  curl -X POST -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8787/ws-ticket
`;

const flags = {
  user: { type: 'string' },
  session: { type: 'string' },
  scope: { type: 'string', multiple: true },
  topics: { type: 'string', multiple: true },
  ttl: { type: 'string', default: '1h' },
  issuer: { type: 'string' },
  audience: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

const refused = (exitCode: 64 | 78, message: string): MintResult => ({ exitCode, stdout: '', stderr: `${message}\n` });
const misused = (message: string): MintResult => refused(64, `${message}\nSee: bun run token --help`);

/** Makes a token of command line arguments and the environment of the server that is to accept it. */
export async function mint(args: readonly string[], env: Environment, now = Date.now): Promise<MintResult> {
  const parsed = parse(args);
  if (typeof parsed === 'string') return misused(parsed);
  if (args.length === 0) return { exitCode: 64, stdout: '', stderr: usage };
  if (parsed.help) return { exitCode: 0, stdout: usage, stderr: '' };
  if (!parsed.user) return misused('Wanted --user <id>');
  const ttlSeconds = readTtlSeconds(parsed.ttl);
  if (ttlSeconds === null) return misused(`Wanted --ttl such as 90s, 15m, 1h or 7d: current value is "${parsed.ttl}"`);

  const secrets = readSecrets(env);
  if (!secrets.ok) return refused(78, `JWT_SECRET: ${secrets.message}${secrets.missing ? suggestion() : ''}`);

  const nowSeconds = Math.floor(now() / 1_000);
  const issuer = parsed.issuer ?? env.JWT_ISSUER?.trim();
  const audience = parsed.audience ?? env.JWT_AUDIENCE?.trim();
  const token = await new SignJWT({
    sub: parsed.user,
    sid: parsed.session ?? randomUUID(),
    scope: split(parsed.scope, /[\s,]+/).join(' '),
    topics: split(parsed.topics, /,/),
    iat: nowSeconds,
    exp: nowSeconds + ttlSeconds,
    ...(issuer && { iss: issuer }),
    ...(audience && { aud: audience }),
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .sign(new TextEncoder().encode(secrets.secrets[0]?.reveal()));
  return { exitCode: 0, stdout: `${token}\n`, stderr: '' };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags }).values;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

function readTtlSeconds(text: string): number | null {
  const match = /^([1-9]\d{0,8})([smhd]?)$/.exec(text);
  return match === null ? null : Number(match[1]) * (secondsOf[match[2] || 's'] ?? 1);
}

const split = (texts: readonly string[] | undefined, separator: RegExp): string[] =>
  (texts ?? []).flatMap((text) => text.split(separator).map((part) => part.trim())).filter((part) => part !== '');

/** A secret made now is printed nowhere else, so it may be printed here. */
const suggestion = (): string =>
  `. The server and this command need the same one, in the environment or in .env. One for you:\n\n  JWT_SECRET=${randomBytes(32).toString('hex')}`;

if (import.meta.main) {
  const result = await mint(process.argv.slice(2), process.env);
  process.stdout.write(result.stdout);
  process.stderr.write(result.stderr);
  process.exitCode = result.exitCode;
}
