import { expect, test } from 'bun:test';
import { createBodyBudget } from './body-budget.ts';

test('take() bounds one user, and all together, and has room again for what was given back', () => {
  const budget = createBodyBudget({ maxBytes: 10, maxBytesPerUser: 6 });
  const giveBack = budget.take('ada', 6);
  expect(() => budget.take('ada', 1)).toThrow('Too many large bodies');
  budget.take('bob', 4);
  expect(() => budget.take('eve', 1)).toThrow('Too many large bodies');
  giveBack();
  budget.take('eve', 6);
  expect(() => budget.take('ada', 1)).toThrow('Too many large bodies');
});
