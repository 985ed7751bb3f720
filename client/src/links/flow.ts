import type { Observable, Observer } from '@trpc/server/observable';

/** Subscribes to `source` until `signal` aborts, and hears nothing of it afterwards. */
export function follow<TValue, TError>(
  source: Observable<TValue, TError>,
  signal: AbortSignal,
  observer: Observer<TValue, TError>,
): void {
  const subscription = source.subscribe({
    next: (value) => signal.aborted || observer.next(value),
    error: (error) => signal.aborted || observer.error(error),
    complete: () => signal.aborted || observer.complete(),
  });
  const leave = () => subscription.unsubscribe();
  if (signal.aborted) leave();
  else signal.addEventListener('abort', leave);
}
