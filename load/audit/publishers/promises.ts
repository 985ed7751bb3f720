import type { Findings } from '../finding.ts';
import type { LogReader } from '../logs/log-reader.ts';

interface Made {
  readonly topic: string;
  readonly position: string;
  readonly key: string;
}

/** What publishers were promised, until it is found in the log. */
export interface Promises {
  /** Publishes answered as durable. */
  readonly made: number;
  readonly kept: number;
  /** Events that went to one instance's subscribers only, and whose publishers were told so. */
  readonly local: number;
  promise(topic: string, position: string, key: string): void;
  promiseLocal(): void;
  /** Strikes out what is in the logs by now. */
  check(): void;
  /** Every log has been read to its end: what is still open was not kept. */
  settle(): void;
}

export function createPromises(log: LogReader, findings: Findings): Promises {
  let open: Made[] = [];
  let made = 0;
  let kept = 0;
  let local = 0;

  const check = (): void => {
    const before = open.length;
    open = open.filter(({ topic, position, key }) => log.ledger(topic).find(position)?.key !== key);
    kept += before - open.length;
  };

  return {
    get made() {
      return made;
    },
    get kept() {
      return kept;
    },
    get local() {
      return local;
    },
    promise(topic, position, key) {
      made += 1;
      open.push({ topic, position, key });
    },
    promiseLocal() {
      local += 1;
    },
    check,
    settle() {
      check();
      for (const { topic, position, key } of open) {
        const there = log.ledger(topic).find(position)?.key;
        const what = there === undefined ? 'is in no log' : `is ${there} in the log`;
        findings.add('promise', { topic, who: key }, `${position} was promised to ${key} and ${what}`);
      }
      open = [];
    },
  };
}
