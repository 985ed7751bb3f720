import { nobody } from '../caller.ts';
import { Finding } from '../finding.ts';
import { tell } from '../http.ts';
import type { Visit } from '../visit.ts';

const hints: Readonly<Record<string, string>> = {
  MISSING_SESSION: 'The token needs the session in its claim "sid" or "sessionId".',
  AUTH_UNAVAILABLE: 'The instance cannot fetch the key set: see JWT_JWKS_URL.',
  SESSION_REVOKED: 'This session was revoked: sign in again.',
  TOKEN_EXPIRED: 'The token has expired: get another.',
  WS_TICKET_REDIS_NOT_READY: 'The instance does not reach its Redis: see /readyz and REDIS_URL.',
  RATE_LIMITED: 'TICKETS_PER_MINUTE is used up: wait a minute.',
};

export async function checkSignIn(visit: Visit): Promise<string> {
  const { http, callers, warn } = visit;
  const stranger = await http.send('POST', '/ws-ticket', nobody);
  if (stranger.status === 200) {
    visit.authDisabled = true;
    warn('sign-in: authentication is disabled here: everybody is user "dev" and may do everything');
    return 'authentication is disabled';
  }
  if (stranger.refusal?.code !== 'UNAUTHORIZED') {
    const hint = hints[stranger.refusal?.code ?? ''] ?? 'Is it an Usher that answers at this address?';
    throw new Finding(`A stranger who asks for a ticket was answered ${tell(stranger)}, not 401 UNAUTHORIZED`, hint);
  }
  const rubbish = await http.send('POST', '/ws-ticket', { token: 'not-a-token', userId: null });
  if (rubbish.status !== 401) throw new Finding(`A token that is none was answered ${tell(rubbish)}, not 401`);
  if (callers.first.token === null) {
    const hint = 'Give --jwt-secret, or --token: authentication is on here.';
    throw new Finding('There is nobody to sign in as', hint);
  }
  const known = await http.send('POST', '/ws-ticket', callers.first);
  if (known.status !== 200) {
    const wrongSecret = visit.options.jwtSecret !== null && known.refusal?.code === 'UNAUTHORIZED';
    const secretHint =
      'Is --jwt-secret the JWT_SECRET of the instances? If they check them, give --issuer and --audience.';
    const hint = wrongSecret ? secretHint : (hints[known.refusal?.code ?? ''] ?? null);
    throw new Finding(`The token was answered ${tell(known)}`, hint);
  }
  const who = callers.first.userId === null ? 'the token' : `user "${callers.first.userId}"`;
  return `${who} is known, a stranger is refused`;
}
