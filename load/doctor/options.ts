import { parseArgs } from 'node:util';

export interface DoctorOptions {
  /** `https://example.com`, without a slash at its end. */
  readonly url: string;
  /** Of the first user, and of the second; none: they are signed, or authentication is disabled. */
  readonly token: string | null;
  readonly otherToken: string | null;
  /** Publishes in place of the first user. */
  readonly publishToken: string | null;
  readonly jwtSecret: string | null;
  readonly issuer: string | null;
  readonly audience: string | null;
  readonly connections: number;
  readonly idleMs: number;
  readonly timeoutMs: number;
  readonly json: boolean;
}

export type Arguments =
  | { readonly kind: 'run'; readonly options: DoctorOptions }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'misuse'; readonly text: string };

const usage = `Usage: bun run doctor <url> [options]

Checks a deployed Usher from outside, step by step, the way clients use it: health, sign-in, tickets, WebSocket through
whatever stands in between, events in order, resuming, isolation of two users, concurrent connections and polling.
It makes topics of its own, agent:doctor-…, and deletes them.

Who asks, one of:
  --jwt-secret <secret>     signs tokens for two users itself (HS256); JWT_SECRET in the environment does the same
  --token <token>           a user's token or key, with scope "publish"; USHER_TOKEN in the environment does the same
  --other-token <token>     another user's, for the isolation step; or USHER_OTHER_TOKEN
  --publish-token <token>   publishes, where the first token may not; or USHER_PUBLISH_TOKEN
  nothing                   authentication is disabled there (DISABLE_AUTH)
A token given as an argument can be read by everybody on this machine while the doctor runs; one in the environment cannot.

Options:
  --issuer <iss>            claim of the signed tokens; JWT_ISSUER by default
  --audience <aud>          claim of the signed tokens; JWT_AUDIENCE by default
  --connections <n>         how many at once in the concurrency step, 1 to 50; 5 by default
  --idle <seconds>          also hold a quiet connection for so long, to find a proxy that cuts it; 0 by default
  --timeout <seconds>       longest wait for any answer; 10 by default
  --json                    print one JSON object instead of lines
  -h, --help                this text

  bun run doctor http://127.0.0.1:8787
  JWT_SECRET=… bun run doctor https://realtime.example.com --idle 90

Exit code: 0 when every step passed or was left out, 1 when one failed, 64 for wrong arguments.
`;

const flags = {
  token: { type: 'string' },
  'other-token': { type: 'string' },
  'publish-token': { type: 'string' },
  'jwt-secret': { type: 'string' },
  issuer: { type: 'string' },
  audience: { type: 'string' },
  connections: { type: 'string', default: '5' },
  idle: { type: 'string', default: '0' },
  timeout: { type: 'string', default: '10' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const misused = (text: string): Arguments => ({ kind: 'misuse', text: `${text}\nSee: bun run doctor --help\n` });

export function readArguments(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Arguments {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return misused(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  if (values.help) return { kind: 'help', text: usage };
  const [given, ...more] = positionals;
  if (given === undefined) return { kind: 'misuse', text: usage };
  if (more.length > 0) return misused(`Wanted one url: current value is "${positionals.join(' ')}"`);
  const url = readUrl(given);
  if (url === null) return misused(`Wanted a url such as https://example.com: current value is "${given}"`);
  const connections = readNumber(values.connections, 1, 50);
  if (connections === null)
    return misused(`Wanted --connections from 1 to 50: current value is "${values.connections}"`);
  const idleSeconds = readNumber(values.idle, 0, 3_600);
  if (idleSeconds === null) return misused(`Wanted --idle from 0 to 3600: current value is "${values.idle}"`);
  const timeoutSeconds = readNumber(values.timeout, 1, 300);
  if (timeoutSeconds === null) return misused(`Wanted --timeout from 1 to 300: current value is "${values.timeout}"`);
  const token = values.token ?? (env.USHER_TOKEN || null);
  return {
    kind: 'run',
    options: {
      url,
      token,
      otherToken: values['other-token'] ?? (env.USHER_OTHER_TOKEN || null),
      publishToken: values['publish-token'] ?? (env.USHER_PUBLISH_TOKEN || null),
      // A token that was given is what shall be tried, whatever secret lies around.
      jwtSecret: token === null ? (values['jwt-secret'] ?? (env.JWT_SECRET || null)) : null,
      issuer: values.issuer ?? (env.JWT_ISSUER || null),
      audience: values.audience ?? (env.JWT_AUDIENCE || null),
      connections,
      idleMs: idleSeconds * 1_000,
      timeoutMs: timeoutSeconds * 1_000,
      json: values.json,
    },
  };
}

const parse = (args: readonly string[]) => parseArgs({ args: [...args], options: flags, allowPositionals: true });

function readUrl(text: string): string | null {
  try {
    const url = new URL(text);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return null;
    return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
  } catch {
    return null;
  }
}

function readNumber(text: string, least: number, most: number): number | null {
  const value = Number(text);
  return /^\d+$/.test(text) && value >= least && value <= most ? value : null;
}
