import type { FaultKind } from './faults/fault.ts';
import type { Finding, FindingKind } from './finding.ts';
import type { Totals } from './readers/tally.ts';

export interface Recovery {
  readonly kinds: readonly FaultKind[];
  /** `null`: not within the time there was. */
  readonly seconds: number | null;
}

export interface Report {
  readonly seed: number;
  readonly seconds: number;
  readonly crowd: { readonly sockets: number; readonly pollers: number; readonly typed: number };
  readonly connects: number;
  /** How often typed clients went over to polling, and came back. */
  readonly fallbacks: { readonly gone: number; readonly returned: number };
  readonly totals: Totals;
  readonly promises: { readonly made: number; readonly kept: number; readonly local: number };
  /** Entries of all logs, and how many of them went with Redis' data. */
  readonly logged: { readonly entries: number; readonly lost: number };
  readonly findings: Readonly<Record<FindingKind, number>>;
  readonly details: readonly Finding[];
  readonly recoveries: readonly Recovery[];
}

export const isClean = ({ findings }: Report): boolean => Object.values(findings).every((count) => count === 0);

const number = (value: number): string => value.toLocaleString('en-US');

/** The report as a person reads it. */
export function describeReport(report: Report): string {
  const { totals, promises, findings, logged, crowd } = report;
  const told = totals.resets.expired + totals.resets.unknown + totals.resets.limit;
  const rows: [string, string][] = [
    ['readers', `${crowd.sockets} sockets, ${crowd.pollers} pollers, ${crowd.typed} typed clients`],
    ['connections', number(report.connects)],
    ['polling instead', `${number(report.fallbacks.gone)} times, back ${number(report.fallbacks.returned)} times`],
    ['deliveries', `${number(totals.deliveries)} of ${number(logged.entries)} logged events`],
    ['resumed', `${number(totals.resumed)} times, ${number(totals.replayed)} events replayed`],
    [
      'gaps told',
      `${number(told)} (expired ${totals.resets.expired}, unknown ${totals.resets.unknown}, limit ${totals.resets.limit})`,
    ],
    ['gaps untold', number(findings.gap)],
    ['doubles', number(findings.double)],
    ['reorders', number(findings.reorder)],
    ['lost promises', `${number(findings.promise)} of ${number(promises.made)}`],
    ['breaches of the wire', number(findings.protocol)],
    ['gone with Redis', `${number(logged.lost)} events, each told where it was missed`],
    ['local deliveries', `${number(totals.local)} of ${number(promises.local)} events`],
    ['degraded, restored', `${number(totals.degraded)}, ${number(totals.restored)}`],
    ['ends of topics told', number(totals.closed)],
    ['resets without need', number(totals.needlessResets)],
  ];
  if (findings.blind > 0) rows.push(['LOGS NOT READ', number(findings.blind)]);
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  lines.push('', ...recoveryLines(report.recoveries));
  for (const { kind, topic, who, detail, at } of report.details.slice(0, 40)) {
    lines.push(`${new Date(at).toISOString().slice(11, 23)} ${kind}: ${who} ${topic}: ${detail}`);
  }
  lines.push('', `seed ${report.seed}, ${report.seconds} s: ${isClean(report) ? 'nothing lost in silence' : 'FAILED'}`);
  return lines.join('\n');
}

function recoveryLines(recoveries: readonly Recovery[]): string[] {
  const byKind = new Map<string, (number | null)[]>();
  for (const { kinds, seconds } of recoveries) {
    const name = kinds.length > 1 ? 'two at once' : String(kinds[0]);
    byKind.set(name, [...(byKind.get(name) ?? []), seconds]);
  }
  if (byKind.size === 0) return ['no faults', ''];
  const lines = [`${'seconds to recover'.padEnd(20)} median     max   times`];
  for (const [name, all] of [...byKind].sort(([a], [b]) => a.localeCompare(b))) {
    const sorted = all.map((seconds) => seconds ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
    const shown = (seconds: number): string => (Number.isFinite(seconds) ? seconds.toFixed(2) : 'never').padStart(7);
    const median = sorted[Math.floor((sorted.length - 1) / 2)] as number;
    lines.push(
      `${name.padEnd(20)}${shown(median)} ${shown(sorted.at(-1) as number)} ${String(all.length).padStart(7)}`,
    );
  }
  return [...lines, ''];
}
