export interface StreamOptions {
  /** Most values that wait for the reader. */
  readonly capacity: number;
  /** The buffer is full: whoever writes must stop. */
  readonly onFull: () => void;
  /** Half of it was read: whoever writes may go on. */
  readonly onRoom: () => void;
  /** The reader has left. */
  readonly onLeave: () => void;
}

/** A bounded buffer between one that pushes and one that reads with `for await`. */
export interface Stream<T> extends AsyncIterable<T> {
  push(value: T): void;
  /** No more values; those that wait are still read, and then `error` is thrown, if given. */
  end(error?: unknown): void;
}

export function createStream<T>({ capacity, onFull, onRoom, onLeave }: StreamOptions): Stream<T> {
  const values: T[] = [];
  let full = false;
  let ended = false;
  let failure: unknown;
  let wake = () => {};

  async function* read(): AsyncGenerator<T, void> {
    try {
      for (;;) {
        while (values.length > 0) {
          yield values.shift() as T;
          if (!full || values.length > capacity / 2) continue;
          full = false;
          onRoom();
        }
        if (failure !== undefined) throw failure;
        if (ended) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      onLeave();
    }
  }
  const reader = read();
  const leave = reader.return.bind(reader);
  // A generator that waits does not hear `return()` before it is woken.
  reader.return = () => {
    values.length = 0;
    failure = undefined;
    onLeave();
    return leave();
  };

  return {
    push(value) {
      values.push(value);
      wake();
      if (values.length < capacity || full) return;
      full = true;
      onFull();
    },
    end(error) {
      if (ended) return;
      ended = true;
      failure = error;
      wake();
    },
    [Symbol.asyncIterator]: () => reader,
  };
}
