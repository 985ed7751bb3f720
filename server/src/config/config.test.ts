import { describe, expect, test } from 'bun:test';
import { inspect } from 'node:util';
import { limits } from '@usher/contracts';
import { type Config, type ConfigFault, type Environment, readConfig } from './config.ts';
import { type VariableName, variables } from './variables.ts';

const secret = 'a-secret-of-at-least-thirty-two-bytes';
const sha256 = 'AB'.repeat(32);
const key = { id: 'worker', sha256, userId: 'ada' };

function configOf(env: Environment): Config {
  const result = readConfig(env);
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.config;
}

function faultsOf(env: Environment): readonly ConfigFault[] {
  const result = readConfig(env);
  if (result.ok) throw new Error('Wanted faults');
  return result.faults;
}

/** With authentication in place, so that only what is tested can be wrong. */
const faultOf = (name: VariableName, value: string) => faultsOf({ JWT_SECRET: secret, [name]: value });

describe('readConfig()', () => {
  test('takes its defaults from the limits of the contracts', () => {
    const config = configOf({});
    for (const name of Object.keys(limits).filter((limit) => limit in config)) {
      expect([name, config[name as keyof Config]]).toEqual([name, limits[name as keyof typeof limits]]);
    }
    expect(config).toMatchObject({ host: '127.0.0.1', port: 8787, redisUrls: null, redisKeyPrefix: 'usher:' });
    expect(config).toMatchObject({ production: false, logLevel: 'info', trustProxy: false, allowedOrigins: [] });
  });

  test('reads every variable', () => {
    const config = configOf({
      HOST: '0.0.0.0',
      PORT: '0',
      NODE_ENV: 'production',
      LOG_LEVEL: 'WARN',
      REDIS_URL: 'rediss://user:pw@a:6379, rediss://b',
      REDIS_KEY_PREFIX: 'x:',
      JWT_SECRET: `${secret}, ${secret}2`,
      JWT_JWKS_URL: 'https://id.example/keys',
      JWT_ISSUER: 'https://id.example',
      JWT_AUDIENCE: 'usher',
      JWT_COOKIE: 'session',
      API_KEYS: JSON.stringify([{ ...key, scopes: ['publish'], topics: ['job:*', '*'] }]),
      DISABLE_AUTH: 'false',
      ALLOWED_ORIGINS: 'https://app.example, http://localhost:3000,capacitor://localhost',
      TRUST_PROXY: '1',
      METRICS_TOKEN: 'metrics-token',
      TICKET_TTL_MS: '1000',
      CONNECTION_LIMIT_POLICY: 'evict',
      TOPICS_MODULE: './topics.ts',
    });
    expect(config).toMatchObject({
      host: '0.0.0.0',
      port: 0,
      production: true,
      logLevel: 'warn',
      redisUrls: ['rediss://user:pw@a:6379', 'rediss://b'],
      redisKeyPrefix: 'x:',
      jwtIssuer: 'https://id.example',
      jwtAudience: 'usher',
      jwtCookie: 'session',
      apiKeys: [{ ...key, sha256: sha256.toLowerCase(), scopes: ['publish'], topics: ['job:*', '*'] }],
      authDisabled: false,
      allowedOrigins: ['https://app.example', 'http://localhost:3000', 'capacitor://localhost'],
      trustProxy: true,
      ticketTtlMs: 1_000,
      connectionLimitPolicy: 'evict',
      topicsModule: './topics.ts',
      warnings: [],
    });
    expect(config.jwtJwksUrl?.href).toBe('https://id.example/keys');
    expect(config.jwtSecrets?.map((each) => each.reveal())).toEqual([secret, `${secret}2`]);
    expect(config.metricsToken?.reveal()).toBe('metrics-token');
  });

  test('has a fault for every variable that can be wrong, and tells all in one run', () => {
    const wrong = Object.fromEntries(Object.keys(variables).map((name) => [name, '\u0000{ wrong *']));
    const free: VariableName[] = ['NODE_ENV', 'JWT_ISSUER', 'JWT_AUDIENCE', 'TOPICS_MODULE'];
    const told = new Set(faultsOf(wrong).map((fault) => fault.variable));
    expect([...told].sort()).toEqual(
      (Object.keys(variables) as VariableName[]).filter((name) => !free.includes(name)).sort(),
    );
  });

  test('says what was wanted, and what it got', () => {
    expect(faultOf('PORT', '65536')).toEqual([
      { variable: 'PORT', message: 'Wanted a whole number from 0 to 65535: current value is "65536"' },
    ]);
  });

  test('counts an empty variable as not given, and ignores those it does not know', () => {
    expect(configOf({ PORT: '', JWT_SECRET: '  ', TICKET_TTL: '7', USHER_FOO: 'x' })).toEqual(configOf({}));
  });

  for (const [name, values] of Object.entries({
    HOST: ['http://0.0.0.0', 'a b', '0.0.0.0/8'],
    PORT: ['-1', '1.5', '1e3', '0x10', ' ٣', 'NaN', 'Infinity', '99999999999999999999'],
    TICKET_TTL_MS: ['0', '2147483648', '30s', '-5'],
    TOPIC_MAX_EVENTS: ['0', '1_000'],
    MAX_PAYLOAD_BYTES: ['0', '64k', '67108865'],
    DISABLE_AUTH: ['yes', 'on'],
    LOG_LEVEL: ['verbose'],
    CONNECTION_LIMIT_POLICY: ['oldest'],
    REDIS_KEY_PREFIX: ['{usher}:', 'a b'],
    ALLOWED_ORIGINS: [
      '*',
      'https://app.example/',
      'https://App.example',
      'https://app.example:443',
      'app.example',
      'null',
    ],
    JWT_JWKS_URL: ['id.example/keys', 'ftp://id.example', 'file:///etc/passwd'],
    JWT_COOKIE: ['a;b', 'a=b', 'a b'],
    METRICS_TOKEN: ['a b', 'a,b'],
    REDIS_URL: ['localhost:6379', 'http://a', 'redis://a,', 'redis://a,rediss://b', 'redis://a/1,redis://b'],
    JWT_SECRET: ['short', `${secret},short`, `${secret},`],
    API_KEYS: [
      '{}',
      '[]',
      '[',
      'null',
      '["worker"]',
      '[{}]',
      JSON.stringify([{ ...key, sha256: 'abc' }]),
      JSON.stringify([{ ...key, scopes: 'publish' }]),
      JSON.stringify([{ ...key, topics: ['job'] }]),
      JSON.stringify([key, { ...key, sha256: 'cd'.repeat(32) }]),
      JSON.stringify([key, { ...key, id: 'other', sha256: sha256.toLowerCase() }]),
    ],
  }) as [VariableName, string[]][]) {
    for (const value of values) {
      test(`refuses ${name}=${value}`, () => {
        const faults = faultOf(name, value);
        expect(faults.map((fault) => fault.variable)).toEqual([name]);
        expect(faults[0]?.message).toStartWith('Wanted ');
      });
    }
  }

  test('takes a database number for one Redis, and IPv6 for it and the host', () => {
    expect(configOf({ REDIS_URL: 'redis://[::1]:6379/2' }).redisUrls).toEqual(['redis://[::1]:6379/2']);
    expect(configOf({ JWT_SECRET: secret, HOST: '::' }).host).toBe('::');
  });

  test('says where API_KEYS is wrong', () => {
    const message = faultOf('API_KEYS', JSON.stringify([key, { id: '', userId: 'bob', sha256: 'x' }]))[0]?.message;
    expect(message).toBe('Wanted text of 1 to 256 characters at [1].id; a SHA-256 as 64 hex digits at [1].sha256');
  });
});

describe('readConfig() and secrets', () => {
  test('prints no secret in a fault', () => {
    const planted = 'PLANTED';
    const faults = faultsOf({
      REDIS_URL: `http://user:${planted}@redis`,
      JWT_SECRET: planted,
      JWT_JWKS_URL: `https://user:${planted}@id.example`,
      METRICS_TOKEN: `${planted} ${planted}`,
      API_KEYS: JSON.stringify([
        planted,
        { id: planted.repeat(50), sha256: planted, userId: 1, scopes: planted, topics: [planted] },
      ]),
    });
    expect(faults.map((fault) => fault.variable)).toHaveLength(5);
    expect(JSON.stringify(faults)).not.toContain(planted);
    expect(JSON.stringify(faultOf('API_KEYS', `[${planted}`))).not.toContain(planted);
  });

  test('prints no secret of a config that is logged or inspected', () => {
    const config = configOf({ JWT_SECRET: secret, METRICS_TOKEN: 'metrics-token' });
    for (const text of [
      JSON.stringify(config),
      inspect(config, { depth: 9 }),
      `${config.jwtSecrets}${config.metricsToken}`,
    ]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain('metrics-token');
      expect(text).toContain('[secret]');
    }
  });
});

describe('readConfig() and authentication', () => {
  test('disables it when nothing is configured, on 127.0.0.1 only, and says so', () => {
    for (const env of [{}, { HOST: 'localhost' }, { HOST: '::1' }, { HOST: '127.0.0.2' }, { DISABLE_AUTH: 'false' }]) {
      const config = configOf({ NODE_ENV: 'development', ...env });
      expect(config).toMatchObject({ authDisabled: true, host: '127.0.0.1' });
      expect(config.warnings.join()).toContain('AUTHENTICATION IS DISABLED');
    }
  });

  test('refuses another host as long as nothing is configured', () => {
    expect(faultsOf({ HOST: '0.0.0.0' })).toEqual([
      {
        variable: 'HOST',
        message: 'Wanted a loopback address while no authentication is configured: current value is "0.0.0.0"',
      },
    ]);
    expect(faultsOf({ HOST: '127.0.0.1.evil.example' })).toHaveLength(1);
  });

  test('disables it on any host when DISABLE_AUTH says so, and says so', () => {
    const config = configOf({ DISABLE_AUTH: 'true', HOST: '0.0.0.0', JWT_SECRET: secret });
    expect(config).toMatchObject({ authDisabled: true, host: '0.0.0.0' });
    expect(config.warnings.join()).toContain('AUTHENTICATION IS DISABLED');
  });

  for (const NODE_ENV of ['production', 'Production']) {
    test(`refuses DISABLE_AUTH, and nothing configured, with NODE_ENV=${NODE_ENV}`, () => {
      expect(faultsOf({ NODE_ENV, DISABLE_AUTH: 'true', JWT_SECRET: secret })).toMatchObject([
        { variable: 'DISABLE_AUTH' },
      ]);
      expect(faultsOf({ NODE_ENV, DISABLE_AUTH: 'true' })).toMatchObject([{ variable: 'DISABLE_AUTH' }]);
      expect(faultsOf({ NODE_ENV })).toMatchObject([{ variable: 'JWT_SECRET' }]);
    });
  }

  test('does not take a wrong secret for none', () => {
    expect(faultsOf({ NODE_ENV: 'production', JWT_SECRET: 'short' })).toHaveLength(1);
    expect(faultsOf({ HOST: '0.0.0.0', JWT_SECRET: 'short' })).toHaveLength(1);
  });

  for (const name of ['JWT_ISSUER', 'JWT_AUDIENCE', 'JWT_COOKIE'] as const) {
    test(`refuses ${name} with nothing that verifies tokens`, () => {
      expect(faultsOf({ [name]: 'x' })).toMatchObject([{ variable: name }]);
      expect(faultsOf({ [name]: 'x', API_KEYS: JSON.stringify([key]) })).toMatchObject([{ variable: name }]);
      expect(configOf({ [name]: 'x', JWT_SECRET: secret }).authDisabled).toBe(false);
    });
  }

  test("counts an embedding app's own authenticator as configured", () => {
    const result = readConfig({ NODE_ENV: 'production', HOST: '0.0.0.0' }, { hasAuthenticator: true });
    expect(result).toMatchObject({ ok: true, config: { authDisabled: false, host: '0.0.0.0' } });
  });

  test('warns of what works and is unwise', () => {
    const production = { NODE_ENV: 'production', REDIS_URL: 'redis://a' };
    const warned = (env: Environment) => configOf({ ...production, ...env }).warnings.join('\n');
    expect(warned({ JWT_JWKS_URL: 'https://id.example', JWT_ISSUER: 'x' })).toContain('JWT_AUDIENCE');
    expect(warned({ JWT_JWKS_URL: 'http://id.example' })).toContain('http');
    expect(warned({ JWT_SECRET: secret, REDIS_URL: '' })).toContain('memory');
    expect(warned({ API_KEYS: JSON.stringify([{ ...key, scopes: ['publsih'] }]) })).toContain('publsih');
    expect(warned({ JWT_SECRET: secret, BACKPRESSURE_LIMIT_BYTES: '65536' })).toContain('snapshot');
    expect(warned({ JWT_SECRET: secret })).toBe('');
  });
});
