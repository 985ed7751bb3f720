import { parseArgs } from 'node:util';
import { type FaultKind, faultKinds } from './faults/fault.ts';

export interface AuditOptions {
  /** Everything that is chosen comes from it. */
  readonly seed: number;
  /** How long events are published and faults happen. */
  readonly seconds: number;
  readonly subscribers: number;
  readonly instances: number;
  /** How many of the instances run under Deno. */
  readonly deno: number;
  readonly faults: readonly FaultKind[];
  /** Share of faults that come two at a time. */
  readonly pairShare: number;
  /** Events published a second on the busy topics together. */
  readonly rate: number;
  /** Who is not back by then after a fault, or at the end, is behind. */
  readonly patienceMs: number;
  /** More variables of the servers. */
  readonly env: Readonly<Record<string, string>>;
  /** Told in a line of each thing that happens. */
  readonly onProgress: (line: string) => void;
}

export const auditDefaults = Object.freeze({
  seconds: 180,
  subscribers: 300,
  instances: 3,
  rate: 120,
  pairs: 20,
  patience: 40,
});

const help = `bun run audit [options]

Runs several servers, readers and publishers through a schedule of faults, and compares what every reader saw
and was told with what publishers were promised and with the logs themselves.

  --seed N         what all choices come from                        (the time)
  --seconds N      how long events are published and faults happen   (${auditDefaults.seconds})
  --subscribers N  readers: sockets, pollers, typed clients          (${auditDefaults.subscribers})
  --instances N    server processes                                  (${auditDefaults.instances})
  --deno N         how many of them run under Deno                   (0)
  --rate N         events a second on the busy topics together       (${auditDefaults.rate})
  --faults LIST    kinds, separated by commas, or all, or none       (all)
  --pairs N        percent of faults that come two at a time         (${auditDefaults.pairs})
  --patience N     seconds after which who is not back is behind     (${auditDefaults.patience})
  --env NAME=VALUE a variable of the servers; may be repeated
  --logs DIR       writes what the servers printed there
  --json           prints the report as JSON
  --help

Kinds of faults: ${faultKinds.join(', ')}

Ends with 1 on any untold gap, double, reorder, lost promise or breach of the wire, with 2 for wrong options.`;

export interface CommandLine {
  readonly options: Omit<AuditOptions, 'onProgress'>;
  readonly json: boolean;
  readonly logs: string | undefined;
}

/** The command line read, or what to print instead of a run. */
export function readCommandLine(
  args: readonly string[],
  now: () => number = Date.now,
): CommandLine | { readonly print: string; readonly exitCode: number } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seed: { type: 'string' },
        seconds: { type: 'string' },
        subscribers: { type: 'string' },
        instances: { type: 'string' },
        deno: { type: 'string' },
        rate: { type: 'string' },
        faults: { type: 'string' },
        pairs: { type: 'string' },
        patience: { type: 'string' },
        env: { type: 'string', multiple: true },
        logs: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) return { print: help, exitCode: 0 };
    return {
      options: {
        seed: number('seed', values.seed, { fallback: now() % 2 ** 31, min: 0, max: 2 ** 31 }),
        seconds: number('seconds', values.seconds, { fallback: auditDefaults.seconds, min: 1, max: 86_400 }),
        subscribers: number('subscribers', values.subscribers, {
          fallback: auditDefaults.subscribers,
          min: 1,
          max: 20_000,
        }),
        instances: number('instances', values.instances, { fallback: auditDefaults.instances, min: 1, max: 32 }),
        deno: number('deno', values.deno, { fallback: 0, min: 0, max: 32 }),
        rate: number('rate', values.rate, { fallback: auditDefaults.rate, min: 1, max: 20_000 }),
        faults: faultsOf(values.faults ?? 'all'),
        pairShare: number('pairs', values.pairs, { fallback: auditDefaults.pairs, min: 0, max: 100 }) / 100,
        patienceMs:
          number('patience', values.patience, { fallback: auditDefaults.patience, min: 1, max: 3_600 }) * 1_000,
        env: Object.fromEntries((values.env ?? []).map(variableOf)),
      },
      json: values.json ?? false,
      logs: values.logs,
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { print: `${message}\n\n${help}`, exitCode: 2 };
  }
}

function number(
  name: string,
  value: string | undefined,
  { fallback, min, max }: { readonly fallback: number; readonly min: number; readonly max: number },
): number {
  if (value === undefined) return fallback;
  const parsed = Number(value);
  if (Number.isInteger(parsed) && parsed >= min && parsed <= max) return parsed;
  throw new TypeError(`Option "--${name}" must be a whole number from ${min} to ${max}: current value is "${value}"`);
}

function faultsOf(list: string): readonly FaultKind[] {
  if (list === 'all') return faultKinds;
  if (list === 'none') return [];
  return list.split(',').map((name) => {
    const kind = faultKinds.find((known) => known === name.trim());
    if (kind === undefined) {
      throw new TypeError(`Option "--faults" must name kinds of ${faultKinds.join(', ')}: current value is "${name}"`);
    }
    return kind;
  });
}

function variableOf(text: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new TypeError(`Option "--env" must be NAME=VALUE: current value is "${text}"`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}
