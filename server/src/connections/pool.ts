/** Calls `run` for each item, `width` at once. One that waits holds up no other; `run` MUST NOT reject. */
export async function eachOf<T>(items: Iterable<T>, width: number, run: (item: T) => Promise<void>): Promise<void> {
  const rest = items[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (let next = rest.next(); !next.done; next = rest.next()) await run(next.value);
  };
  await Promise.all(Array.from({ length: width }, work));
}
