import type { ConfigFault } from './config.ts';
import type { Values, VariableName } from './variables.ts';

/** What follows from several variables together. */
export interface Together {
  readonly faults: readonly ConfigFault[];
  readonly warnings: readonly string[];
  readonly production: boolean;
  readonly authDisabled: boolean;
}

const authVariables = ['JWT_SECRET', 'JWT_JWKS_URL', 'API_KEYS'] as const;
const jwtVariables = ['JWT_ISSUER', 'JWT_AUDIENCE', 'JWT_COOKIE'] as const;
const knownScopes: readonly string[] = ['publish', 'admin'];

const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|::1|localhost)$/i.test(host);

/**
 * Applies the rules between variables. `values` lacks those that could not be read; `given` names all that were given,
 * so that a wrong JWT_SECRET is not told a second time as no authentication at all.
 */
export function checkTogether(
  values: Partial<Values>,
  given: ReadonlySet<VariableName>,
  hasAuthenticator: boolean,
): Together {
  const faults: ConfigFault[] = [];
  const warnings: string[] = [];
  const production = values.NODE_ENV?.toLowerCase() === 'production';
  const configured = hasAuthenticator || authVariables.some((name) => given.has(name));
  const asked = values.DISABLE_AUTH === true;
  const authDisabled = asked || !configured;

  if (asked && production) {
    faults.push({
      variable: 'DISABLE_AUTH',
      message: 'Wanted false with NODE_ENV=production: current value is "true"',
    });
  } else if (asked) {
    warnings.push(
      `AUTHENTICATION IS DISABLED by DISABLE_AUTH: every caller is user "dev" with all scopes${configured ? ', whatever else is configured' : ''}`,
    );
  } else if (!configured && production) {
    faults.push({
      variable: 'JWT_SECRET',
      message: `Wanted one of ${authVariables.join(', ')} with NODE_ENV=production: none is set`,
    });
  } else if (!configured) {
    warnings.push(
      `AUTHENTICATION IS DISABLED: none of ${authVariables.join(', ')} is set. Every caller is user "dev" with all scopes; bound to 127.0.0.1 only`,
    );
    if (values.HOST !== undefined && !isLoopback(values.HOST)) {
      const message = `Wanted a loopback address while no authentication is configured: current value is "${values.HOST}"`;
      faults.push({ variable: 'HOST', message });
    }
  }

  // Somebody who sets only these believes that tokens are checked.
  if (!given.has('JWT_SECRET') && !given.has('JWT_JWKS_URL')) {
    for (const variable of jwtVariables.filter((name) => given.has(name))) {
      faults.push({ variable, message: 'Wanted JWT_SECRET or JWT_JWKS_URL beside it: neither is set' });
    }
  }
  warnings.push(...cautions(values, production));
  return { faults, warnings, production, authDisabled };
}

function cautions(values: Partial<Values>, production: boolean): string[] {
  const warnings: string[] = [];
  if (values.JWT_JWKS_URL && (!values.JWT_ISSUER || !values.JWT_AUDIENCE)) {
    warnings.push('JWT_JWKS_URL without JWT_ISSUER and JWT_AUDIENCE: tokens meant for other services are accepted');
  }
  if (production && values.JWT_JWKS_URL?.protocol === 'http:') {
    warnings.push('JWT_JWKS_URL is http: who can change the answer on its way can sign tokens');
  }
  if (production && values.REDIS_URL === null) {
    warnings.push('REDIS_URL is not set: topics and tickets live in the memory of this one process');
  }
  for (const key of values.API_KEYS ?? []) {
    const unknown = key.scopes.filter((scope) => !knownScopes.includes(scope));
    if (unknown.length > 0)
      warnings.push(`API_KEYS: key "${key.id}" has scopes nobody asks for: ${unknown.join(', ')}`);
  }
  const { BACKPRESSURE_LIMIT_BYTES: limit, MAX_STATE_BYTES: state, MAX_HISTORY_BYTES: history } = values;
  if (limit !== undefined && state !== undefined && history !== undefined && limit < state + history) {
    warnings.push(
      'BACKPRESSURE_LIMIT_BYTES is less than MAX_STATE_BYTES and MAX_HISTORY_BYTES together: a large snapshot may disconnect its reader',
    );
  }
  return warnings;
}
