import { cpuUs } from './machine.ts';

/** One of the two that are compared: a server, and what it is asked to do. */
export interface Side {
  readonly name: string;
  /** The server's processes. */
  readonly pids: readonly number[];
  /** Does one block of work; gives how much was done, in the unit of the figures. */
  work(): Promise<number>;
}

/** What one side did in one round. */
export interface Measured {
  readonly amount: number;
  /** Of all its processes. */
  readonly cpuUs: number;
  /** Of the process that used most: what it can do when nothing else is in its way. */
  readonly busiestUs: number;
  readonly wallUs: number;
}

export interface Figure {
  /** What the number is: `µs of CPU per event`. */
  readonly unit: string;
  of(measured: Measured): number;
  /** What the first side's figure, divided by the second's, should be. */
  readonly aim: { readonly atMost: number } | { readonly atLeast: number };
}

export const cpuPerEvent = (atMost: number): Figure => ({
  unit: 'µs of server CPU per delivered event',
  of: (measured) => measured.cpuUs / measured.amount,
  aim: { atMost },
});

export interface CompareOptions {
  readonly title: string;
  readonly sides: readonly [Side, Side];
  readonly figures: readonly Figure[];
  readonly rounds: number;
  /** Blocks of each side in one round. */
  readonly blocks: number;
}

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
};

const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(3));

/** CPU time comes in steps of 10 ms: below this a ratio of two is mostly rounding, as in a smoke run. */
const leastCpuUs = 200_000;

function verdict(ratio: number, { aim }: Figure, measured: readonly (readonly Measured[])[]): string {
  if (measured.flat().some(({ cpuUs: us }) => us < leastCpuUs)) return 'too short to judge';
  const met = 'atMost' in aim ? ratio <= aim.atMost : ratio >= aim.atLeast;
  return `aim ${'atMost' in aim ? `≤ ${aim.atMost}` : `≥ ${aim.atLeast}`}: ${met ? 'met' : 'MISSED'}`;
}

const used = (side: Side): readonly number[] => side.pids.map(cpuUs);

/** One round: blocks of the two sides in turns, so that whatever else the machine does meets both. */
async function measure({ sides, blocks }: CompareOptions): Promise<readonly [Measured, Measured]> {
  const before = sides.map(used);
  const amounts = [0, 0];
  const walls = [0, 0];
  for (let block = 0; block < blocks; block += 1) {
    // Who goes first changes, or the state the other leaves caches in would meet one side only.
    for (const at of block % 2 === 0 ? [0, 1] : [1, 0]) {
      const startedAt = performance.now();
      amounts[at] = (amounts[at] ?? 0) + ((await sides[at]?.work()) ?? 0);
      walls[at] = (walls[at] ?? 0) + (performance.now() - startedAt) * 1_000;
    }
  }
  const measured = (at: 0 | 1): Measured => {
    const spent = used(sides[at]).map((us, process) => us - (before[at]?.[process] ?? 0));
    return {
      amount: amounts[at] ?? 0,
      cpuUs: spent.reduce((sum, us) => sum + us, 0),
      busiestUs: Math.max(...spent),
      wallUs: walls[at] ?? 0,
    };
  };
  return [measured(0), measured(1)];
}

/** Measures two sides and prints every round, with the spread of their ratio. One round before warms up. */
export async function compare(options: CompareOptions): Promise<void> {
  const { title, sides, figures, rounds } = options;
  console.log(title);
  await measure(options);
  const measured: (readonly [Measured, Measured])[] = [];
  for (let round = 0; round < rounds; round += 1) measured.push(await measure(options));
  for (const figure of figures) {
    console.log(`  ${figure.unit}`);
    const ratios = measured.map(([first, second], round) => {
      const values = [figure.of(first), figure.of(second)] as const;
      const ratio = values[0] / values[1];
      const shown = sides.map(({ name }, at) => `${name} ${number(values[at] ?? Number.NaN)}`).join('   ');
      console.log(`    round ${round + 1}   ${shown}   ratio ${ratio.toFixed(2)}`);
      return ratio;
    });
    const middle = median(ratios);
    const spread = [Math.min(...ratios), middle, Math.max(...ratios)].map((ratio) => ratio.toFixed(2));
    console.log(
      `    ratio     min ${spread[0]}   median ${spread[1]}   max ${spread[2]}   (${verdict(middle, figure, measured)})`,
    );
  }
  console.log('');
}
