import type { Logger } from './logger.ts';

type Handler<T> = Extract<T, (...given: never[]) => void>;

/** Tells the caller's code of what happens, and is not disturbed by what it does. */
export interface Notifier<TValue, THandlers> {
  /** Tells of each value to come; the answer stops it. */
  watch(listener: (value: TValue) => void): () => void;
  emit(value: TValue): void;
  /** Calls a handler, if there is one; what it throws is a mistake there, and must not end anything here. */
  tell<TName extends keyof THandlers>(name: TName, ...given: Parameters<Handler<THandlers[TName]>>): void;
}

export function createNotifier<TValue, THandlers extends object = object>(
  logger: Logger,
  handlers: THandlers,
): Notifier<TValue, THandlers> {
  const listeners = new Set<(value: TValue) => void>();
  const guard = (call: () => void) => {
    try {
      call();
    } catch (error) {
      logger.error('[Usher] A callback threw', { error });
    }
  };
  return {
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    emit(value) {
      for (const listener of [...listeners]) guard(() => listeners.has(listener) && listener(value));
    },
    tell: (name, ...given) => guard(() => (handlers[name] as ((...given: unknown[]) => void) | undefined)?.(...given)),
  };
}
