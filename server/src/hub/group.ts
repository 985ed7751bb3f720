/** A live socket as far as the hub needs it. */
export interface GroupSocket {
  /** Joins the runtime's native group; takes effect before the call returns. */
  join(group: string): void;
  leave(group: string): void;
}

/** What subscribers of one topic must share to be served by one frame. */
export interface GroupKey {
  /** The client's id of the request: it stands in the frame. */
  readonly requestId: number | string;
  readonly presence: boolean;
  /** How many of the last events a reset brings. */
  readonly history: number;
}

/** Subscribers of one topic whose frames are the same, byte for byte. */
export interface Group extends GroupKey {
  /** The runtime's name of it; never used again after the group has gone. */
  readonly name: string;
  readonly sockets: Set<GroupSocket>;
}

export const groupKeyOf = (key: GroupKey): string =>
  `${typeof key.requestId === 'number' ? 'n' : 's'}${key.requestId}|${key.presence ? 1 : 0}|${key.history}`;
