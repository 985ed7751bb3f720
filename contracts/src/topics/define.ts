import { z } from 'zod';

/** Who may read a topic besides those who were granted a pattern. */
export type TopicAccess =
  /** The owner named at create or at the first publish. */
  | 'owner'
  /** The user whose id is the topic's id. */
  | 'user'
  /** Every signed-in caller. */
  | 'everyone';

/** Payload schemas by event name, or `'any'`: any name, any JSON. */
export type TopicEvents = Readonly<Record<string, z.ZodType>> | 'any';

export interface TopicDefinition<
  TName extends string = string,
  TState extends z.ZodType = z.ZodType,
  TEvents extends TopicEvents = TopicEvents,
> {
  /** The part before the colon. */
  readonly name: TName;
  /** Schema of the part after the colon. */
  readonly params: z.ZodType<string>;
  /** Schema of the latest snapshot. */
  readonly state: TState;
  /** Schemas of the payloads. */
  readonly events: TEvents;
  /** Events after which the topic is closed. */
  readonly terminal: readonly string[];
  /** @default 'owner' */
  readonly access: TopicAccess;
  /** Gives the state when the log holds none, or cannot be reached; asked with the topic's id. */
  readonly load?: (id: string) => Promise<unknown>;
}

export interface TopicOptions<TName extends string, TState extends z.ZodType, TEvents extends TopicEvents> {
  readonly name: TName;
  /** @default any id */
  readonly params?: z.ZodType<string>;
  readonly state: TState;
  readonly events: TEvents;
  /** @default [] */
  readonly terminal?: readonly (TEvents extends 'any' ? string : Extract<keyof TEvents, string>)[];
  /** @default 'owner' */
  readonly access?: TopicAccess;
  readonly load?: (id: string) => Promise<z.output<TState>>;
}

/**
 * Defines a typed topic.
 *
 * @example
 * ```ts
 * const order = defineTopic({
 *   name: 'order',
 *   state: z.looseObject({ status: z.enum(['open', 'shipped']) }),
 *   events: { order_shipped: z.looseObject({ carrier: z.string() }) },
 *   terminal: ['order_shipped'],
 * });
 * ```
 */
export function defineTopic<TName extends string, TState extends z.ZodType, const TEvents extends TopicEvents>(
  options: TopicOptions<TName, TState, TEvents>,
): TopicDefinition<TName, TState, TEvents> {
  return {
    name: options.name,
    params: options.params ?? z.string(),
    state: options.state,
    events: options.events,
    terminal: options.terminal ?? [],
    access: options.access ?? 'owner',
    ...(options.load && { load: options.load }),
  };
}
