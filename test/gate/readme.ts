import { readFileSync, writeFileSync } from 'node:fs';
import { type CodeEntry, codes } from '@usher/contracts/codes';
import { markdownTable } from '../../server/src/config/manual.ts';

const file = new URL('../../README.md', import.meta.url);

export const readme = (): string => readFileSync(file, 'utf8');

const actions: Readonly<Record<CodeEntry['client'], string>> = {
  'new-token': 'drops the token, gets another, once',
  'new-ticket': 'gets another ticket',
  final: 'gives up',
  'back-off': 'backs off',
  wait: 'waits for `retryAfterMs`',
  'ticket-retry': 'tries after 200, 500, 1,000 ms, then polls',
  'try-for-a-while': 'tries again for 10 s, then gives up',
  resume: 'reconnects and resumes',
};

function codesTable(): string {
  const rows = Object.entries(codes as Readonly<Record<string, CodeEntry>>).map(
    ([code, { http, close, client, message }]) =>
      `| \`${code}\` | ${http ?? '–'} | ${close ?? '–'} | ${message} | ${actions[client]} |`,
  );
  return ['| code | HTTP | close | means | the client |', '|---|---|---|---|---|', ...rows, ''].join('\n');
}

const tables: Readonly<Record<string, () => string>> = { variables: markdownTable, codes: codesTable };

/** README with its tables made anew from what they describe. */
export const withTables = (text: string): string =>
  text.replaceAll(/(<!-- table:(\w+) -->\n)[\s\S]*?(<!-- \/table -->)/g, (whole, open, name, close) => {
    const table = tables[name];
    return table === undefined ? whole : `${open}${table()}${close}`;
  });

/** The TypeScript blocks, as a newcomer would copy them. */
export const examples = (text: string): string[] =>
  [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1] as string);

if (import.meta.main) writeFileSync(file, withTables(readme()));
