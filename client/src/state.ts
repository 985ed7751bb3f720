import type { ResetReason } from '@usher/contracts';
import type { ErrorCode, UsherError } from './errors.ts';

/** Where the client stands. `idle → connecting → live ⇄ polling → closed(reason)` */
export type ConnectionState =
  /** Nothing was asked of it yet. */
  | { readonly status: 'idle' }
  /** No connection; one is being made. `attempt` counts from 1. */
  | { readonly status: 'connecting'; readonly attempt: number }
  /** The server answers on the WebSocket. */
  | { readonly status: 'live' }
  /** Topics are polled over HTTP; `reason` is why the WebSocket could not be had. */
  | { readonly status: 'polling'; readonly reason: ErrorCode }
  /** For good. `error` is `null` after `close()`. */
  | { readonly status: 'closed'; readonly reason: ErrorCode; readonly error: UsherError | null };

export type ConnectionStatus = ConnectionState['status'];

/** Told as it happens; a handler that throws is reported, and disturbs nothing. */
export interface UsherHandlers {
  /** Live for the first time. */
  readonly onConnect?: () => void;
  /** No longer live. */
  readonly onDisconnect?: (reason: ErrorCode) => void;
  /** Live again; `attempt` tells how many it took. */
  readonly onReconnect?: (attempt: number) => void;
  /** Topics are polled from now on. */
  readonly onFallback?: (reason: ErrorCode) => void;
  /** Live again after polling. */
  readonly onRestore?: () => void;
  /** Closed for good, by `close()` or because no attempt can help. */
  readonly onClose?: (reason: ErrorCode, error: UsherError | null) => void;
  /** A subscriber of `topic` missed something, and was told. */
  readonly onReset?: (topic: string, reason: ResetReason) => void;
  /** Events of `topic` may come late. */
  readonly onDegraded?: (topic: string) => void;
}
