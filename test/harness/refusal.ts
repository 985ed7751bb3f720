import { expect } from 'bun:test';
import type { Code } from '@usher/contracts';
import type { Answer, Refusal } from './http.ts';

/** Fails unless the answer is a refusal with this code, its status and a traceId; gives the refusal. */
export function expectRefusal(answer: Answer, status: number, code: Code): Refusal {
  expect({ status: answer.status, code: answer.error?.code }, answer.text).toEqual({ status, code });
  expect(answer.error?.traceId, answer.text).toMatch(/\S/);
  return answer.error as Refusal;
}
