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
export interface Stream<T> extends AsyncIterableIterator<T> {
  push(value: T): void;
  /** No more values; those that wait are still read, and then `error` is thrown, if given. */
  end(error?: unknown): void;
}

type Waiting<T> = { resolve(result: IteratorResult<T>): void; reject(cause: unknown): void };

export function createStream<T>({ capacity, onFull, onRoom, onLeave }: StreamOptions): Stream<T> {
  let values: T[] = [];
  let readers: Waiting<T>[] = [];
  let full = false;
  let ended: { error?: unknown } | undefined;
  const done = (): IteratorResult<T> => ({ value: undefined, done: true });

  const end = (error?: unknown) => {
    if (ended) return;
    ended = error === undefined ? {} : { error };
    const [first, ...others] = readers;
    readers = [];
    // An error is thrown once; who asks after it finds the end.
    if (first) settle(first);
    for (const reader of others) reader.resolve(done());
  };
  const settle = (reader: Waiting<T>) => {
    if (ended && 'error' in ended) {
      const { error } = ended;
      ended = {};
      reader.reject(error);
    } else reader.resolve(done());
  };

  return {
    push(value) {
      if (ended) return;
      const reader = readers.shift();
      if (reader) return reader.resolve({ value, done: false });
      values.push(value);
      if (values.length < capacity || full) return;
      full = true;
      onFull();
    },
    end,
    next: () =>
      new Promise((resolve, reject) => {
        if (values.length > 0) {
          resolve({ value: values.shift() as T, done: false });
          if (!full || values.length > capacity / 2) return;
          full = false;
          if (!ended) onRoom();
        } else if (ended) settle({ resolve, reject });
        else readers.push({ resolve, reject });
      }),
    return() {
      values = [];
      end();
      ended = {};
      onLeave();
      return Promise.resolve(done());
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
