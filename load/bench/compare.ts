/** One figure of each side, measured one after the other. */
export interface Round {
  readonly usher: number;
  readonly bare: number;
}

export interface CompareOptions {
  readonly title: string;
  readonly unit: string;
  readonly rounds: number;
  readonly usher: () => Promise<number>;
  readonly bare: () => Promise<number>;
  /** What the ratio should be: `{ atMost: 1.25 }`. */
  readonly aim: { readonly atMost: number } | { readonly atLeast: number };
  /** What the two sides are called. @default ['usher', 'bare Bun'] */
  readonly names?: readonly [string, string];
}

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
};

/** Whether a ratio is where it should be, in words. */
export function verdict(ratio: number, aim: CompareOptions['aim']): string {
  if ('atMost' in aim) return `aim ≤ ${aim.atMost}: ${ratio <= aim.atMost ? 'met' : 'MISSED'}`;
  return `aim ≥ ${aim.atLeast}: ${ratio >= aim.atLeast ? 'met' : 'MISSED'}`;
}

const digits = (value: number): string => (value >= 1_000 ? value.toFixed(0) : value.toFixed(3));

/**
 * Measures two sides in turns, so that whatever else the machine does meets both, and prints every round. The first
 * round of each warms up and does not count.
 */
export async function compare(options: CompareOptions): Promise<readonly Round[]> {
  const [first, second] = options.names ?? ['usher', 'bare Bun'];
  console.log(`${options.title}, ${options.unit}`);
  await options.usher();
  await options.bare();
  const rounds: Round[] = [];
  for (let at = 1; at <= options.rounds; at += 1) {
    // Who goes first changes, or a drift of the machine would favour one.
    const usherFirst = at % 2 === 1;
    const early = usherFirst ? await options.usher() : await options.bare();
    const late = usherFirst ? await options.bare() : await options.usher();
    const round = usherFirst ? { usher: early, bare: late } : { usher: late, bare: early };
    rounds.push(round);
    const ratio = (round.usher / round.bare).toFixed(2);
    console.log(`  round ${at}   ${first} ${digits(round.usher)}   ${second} ${digits(round.bare)}   ratio ${ratio}`);
  }
  const ratios = rounds.map(({ usher, bare }) => usher / bare);
  const middle = median(ratios);
  const spread = `min ${Math.min(...ratios).toFixed(2)}   median ${middle.toFixed(2)}   max ${Math.max(...ratios).toFixed(2)}`;
  console.log(`  ratio     ${spread}   (${verdict(middle, options.aim)})\n`);
  return rounds;
}
