export type { Authenticator, AuthRequest, AuthResult } from './auth/authenticator.ts';
export { fromFunction } from './auth/from-function.ts';
export type { AuthFailure, AuthFailureHook } from './auth/on-auth-failure.ts';
export { type Config, type ConfigFault, type ConfigResult, type Environment, readConfig } from './config/config.ts';
export { createLog, type Log, type LogOptions } from './log.ts';
export { type ServerOptions, startServer, type UsherServer } from './server.ts';
