/** What an audited publisher says in each event, besides what fills it. */
export interface AuditedData {
  /** Its own name of the event; empty where it gave none. */
  readonly key: string;
  /** A state was published with it. */
  readonly hasState: boolean;
}

/** Reads the data of an event. */
export function auditedData(data: unknown): AuditedData {
  const { k, s } = (data ?? {}) as { readonly k?: unknown; readonly s?: unknown };
  return { key: typeof k === 'string' ? k : '', hasState: s === 1 };
}

/** The key of the event a state came with; empty where there is no state. */
export const keyOfState = (state: unknown): string => auditedData(state).key;
