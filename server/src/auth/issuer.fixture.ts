import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

export interface Issuer extends AsyncDisposable {
  readonly url: URL;
  /** Requests that came in so far. */
  readonly requests: number;
  /** Publishes one more key, and signs with it from now on. */
  rotate(kid: string, alg?: string): Promise<void>;
  /** Takes a key out of the set. */
  withdraw(kid: string): void;
  sign(claims: JWTPayload, options?: { readonly kid?: string | null; readonly exp?: string | number }): Promise<string>;
  /** The public half of the current key, as an attacker finds it. */
  publicJwk(): JWK;
  /** What the next requests get instead of the set. */
  answer(how: 'set' | 'garbage' | 'stall' | 'stall-in-body' | 'endless' | 500): void;
  stop(): Promise<void>;
}

/** A real issuer of keys: an HTTP server on a free port of this machine. */
export async function startIssuer(alg = 'RS256'): Promise<Issuer> {
  const published = new Map<string, JWK>();
  let current: { kid: string; alg: string; privateKey: CryptoKey };
  let how: Parameters<Issuer['answer']>[0] = 'set';
  let requests = 0;
  const server = createServer((_request, response) => {
    requests += 1;
    respond(response, how, { keys: [...published.values()] });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const issuer: Issuer = {
    url: new URL(`http://127.0.0.1:${port}/jwks.json`),
    get requests() {
      return requests;
    },
    async rotate(kid, keyAlg = alg) {
      const { privateKey, publicKey } = await generateKeyPair(keyAlg, { extractable: true });
      published.set(kid, { ...(await exportJWK(publicKey)), kid, alg: keyAlg, use: 'sig' });
      current = { kid, alg: keyAlg, privateKey };
    },
    withdraw: (kid) => void published.delete(kid),
    sign(claims, { kid = current.kid, exp = '5m' } = {}) {
      const header = { alg: current.alg, ...(kid !== null && { kid }) };
      return new SignJWT(claims).setProtectedHeader(header).setExpirationTime(exp).sign(current.privateKey);
    },
    publicJwk: () => published.get(current.kid) ?? {},
    answer(next) {
      how = next;
    },
    async stop() {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
    [Symbol.asyncDispose]: () => issuer.stop(),
  };
  await issuer.rotate('key-1');
  return issuer;
}

function respond(response: ServerResponse, how: Parameters<Issuer['answer']>[0], set: unknown): void {
  if (how === 'stall') return;
  if (how === 500) {
    response.writeHead(500).end();
    return;
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  if (how === 'set') response.end(JSON.stringify(set));
  else if (how === 'garbage') response.end('<html>');
  else if (how === 'stall-in-body') response.write('{"keys":[');
  else {
    const pour = () => {
      while (!response.destroyed && response.write(' '.repeat(65_536)));
    };
    response.on('drain', pour);
    pour();
  }
}
