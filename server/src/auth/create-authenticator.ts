import type { Config } from '../config/config.ts';
import type { Log } from '../log.ts';
import { createApiKeyAuthenticator } from './api-key.ts';
import type { Authenticator } from './authenticator.ts';
import { disabled } from './disabled.ts';
import { firstOf } from './first-of.ts';
import { createJwtAuthenticator } from './jwt.ts';
import { createKeySet } from './key-set.ts';
import { type AuthFailureHook, withFailureHook } from './on-auth-failure.ts';
import { createOriginPolicy } from './origin.ts';

export type AuthConfig = Pick<
  Config,
  | 'authDisabled'
  | 'apiKeys'
  | 'jwtSecrets'
  | 'jwtJwksUrl'
  | 'jwtIssuer'
  | 'jwtAudience'
  | 'jwtCookie'
  | 'allowedOrigins'
>;

export interface CreateAuthenticatorOptions {
  readonly config: AuthConfig;
  readonly log: Log;
  /** An embedding app's own, asked after keys and tokens. @default [] */
  readonly authenticators?: readonly Authenticator[];
  /** Told of each refusal. @default nobody */
  readonly onAuthFailure?: AuthFailureHook | null;
  /** How long one fetch of the key set may take, in ms. @default 5000 */
  readonly keySetTimeoutMs?: number;
  readonly now?: () => number;
}

/** The authenticator the configuration asks for. @throws TypeError when it asks for none */
export function createAuthenticator(options: CreateAuthenticatorOptions): Authenticator {
  const { config, log, onAuthFailure = null } = options;
  return withFailureHook(config.authDisabled ? disabled : configured(options), onAuthFailure, log);
}

function configured(options: CreateAuthenticatorOptions): Authenticator {
  const { config, authenticators = [] } = options;
  const chosen = [...authenticators];
  if (config.jwtSecrets !== null || config.jwtJwksUrl !== null) chosen.unshift(jwt(options));
  // Keys come first: they are looked up here, and stay good while an issuer is away.
  if (config.apiKeys !== null) chosen.unshift(createApiKeyAuthenticator({ keys: config.apiKeys }));
  if (chosen.length === 0)
    throw new TypeError('Wanted a way to authenticate: none is configured, and it is not disabled');
  return firstOf(...chosen);
}

function jwt({ config, log, keySetTimeoutMs, now }: CreateAuthenticatorOptions): Authenticator {
  const keySet =
    config.jwtJwksUrl === null
      ? null
      : createKeySet({
          url: config.jwtJwksUrl,
          log,
          ...(keySetTimeoutMs !== undefined && { timeoutMs: keySetTimeoutMs }),
          ...(now && { now }),
        });
  return createJwtAuthenticator({
    secrets: config.jwtSecrets ?? [],
    keySet,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    cookie:
      config.jwtCookie === null
        ? null
        : { name: config.jwtCookie, isAllowedOrigin: createOriginPolicy(config.allowedOrigins) },
    ...(now && { now }),
  });
}
