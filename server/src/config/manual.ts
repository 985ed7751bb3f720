import { type Variable, variables } from './variables.ts';

const rows: readonly (readonly [string, Variable])[] = Object.entries(variables);

const unitOf = (variable: Variable): string => variable.unit ?? '';

/** The table of variables as README shows it. */
export function markdownTable(): string {
  const lines = rows.map(
    ([name, variable]) =>
      `| \`${name}\` | ${variable.default ?? 'none'} | ${unitOf(variable)} | ${variable.description.replaceAll('|', '\\|')} |`,
  );
  return ['| variable | default | unit | meaning |', '|---|---|---|---|', ...lines, ''].join('\n');
}

const head = `# Usher's configuration: every variable with its default; an empty one counts as not given. Copy it to .env, which Bun
# reads by itself (Deno: --env-file), and edit. All faults are told at once, on stderr, with exit code 78.
# Made of server/src/config/variables.ts: bun server/src/config/env-example.ts > .env.example
`;

/** What helps to fill a variable in, below its description. */
const hints: Readonly<Record<string, string>> = {
  JWT_SECRET: 'Make one: openssl rand -hex 32. While rotating: new,old',
  API_KEYS: 'The digest of a key: printf %s "$KEY" | sha256sum',
};

/** The text of `.env.example`: a copy of it changes nothing until it is edited. */
export function envExample(): string {
  const entries = rows.map(([name, variable]) => {
    const description = variable.description.replaceAll('`', '');
    const unit = variable.unit === null ? '' : `, in ${variable.unit}`;
    const hint = hints[name] === undefined ? '' : `# ${hints[name]}\n`;
    return `# ${description}${unit}\n${hint}${name}=${variable.default ?? ''}\n`;
  });
  return [head, ...entries].join('\n');
}
