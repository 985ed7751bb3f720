import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { limits } from '@usher/contracts';
import { readConfig } from './config.ts';
import { envExample, markdownTable } from './manual.ts';
import { variables } from './variables.ts';

const example = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8');
const named = [...example.matchAll(/^([A-Z][A-Z_]*)=/gm)].map((match) => match[1]);

describe('.env.example', () => {
  test('holds every variable of the table, and no other', () => {
    expect(named).toEqual(Object.keys(variables));
  });

  test('is what `bun server/src/config/env-example.ts` prints', () => {
    expect(example).toBe(envExample());
  });

  test('changes nothing when it is copied as it is', () => {
    const env = Object.fromEntries(
      [...example.matchAll(/^([A-Z][A-Z_]*)=(.*)$/gm)].map((match) => [match[1], match[2]]),
    );
    expect(env.TICKET_TTL_MS).toBe(String(limits.ticketTtlMs));
    expect(readConfig(env)).toEqual(readConfig({}));
  });
});

describe('markdownTable()', () => {
  test('has a row of four cells for each variable', () => {
    const lines = markdownTable().trim().split('\n').slice(2);
    expect(lines).toHaveLength(Object.keys(variables).length);
    for (const line of lines) expect(line.match(/(?<!\\)\|/g)).toHaveLength(5);
    expect(lines).toContain('| `TICKET_TTL_MS` | 30000 | ms | How long a ticket may be used |');
  });
});
