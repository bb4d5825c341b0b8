// The client: openid-client, told to remember every token and proof it makes,
// so that they can be looked for in what the gate writes.

import { generateKeyPair as generate } from 'node:crypto';
import { promisify } from 'node:util';
import { SignJWT, decodeJwt, decodeProtectedHeader } from 'jose';
import * as oauth from 'openid-client';

import { clientOf, clientSecret } from './names.js';

const generateKeyPair = promisify(generate);

const PROOF_KEYS = {
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  EdDSA: { name: 'Ed25519' },
  Ed25519: { name: 'Ed25519' },
};

// Client is one client of the authorization server, and the keys of its proofs.
export class Client {
  #configuration; // sends

  #paper; // answers what it would send

  #keys;

  #dpop; // remembers nonces by origin

  trips = []; // status and DPoP-Nonce of each answer

  // secrets collects every token and proof this client handles. A client
  // authenticates by its secret when authentication is not given.
  static async discover(issuer, alg, secrets, { id = clientOf(alg), authentication, fetch: convey = fetch } = {}) {
    const client = new Client();
    client.alg = alg;
    client.secrets = secrets;
    client.#configuration = await oauth.discovery(new URL(issuer), id, authentication ? undefined : clientSecret, authentication, {
      execute: [oauth.allowInsecureRequests],
      [oauth.customFetch]: convey,
    });
    client.#configuration[oauth.customFetch] = async (url, options) => {
      const answer = await convey(url, { ...options, headers: client.#noted(options.headers) });
      client.trips.push({ status: answer.status, nonce: answer.headers.get('dpop-nonce') });
      return answer;
    };
    client.#paper = new oauth.Configuration(client.#configuration.serverMetadata(), id, clientSecret);
    oauth.allowInsecureRequests(client.#paper);
    client.#paper[oauth.customFetch] = async (url, options) => Response.json(Object.fromEntries(client.#noted(options.headers)));
    client.#keys = await crypto.subtle.generateKey(PROOF_KEYS[alg], true, ['sign', 'verify']);
    return client;
  }

  #noted(init) {
    const headers = new Headers(init);
    if (headers.has('dpop')) this.secrets.add(headers.get('dpop'));
    return headers;
  }

  #handle() {
    // openid-client says Ed25519 (RFC 9864) where older ones say EdDSA.
    const rename = (header) => { if (this.alg === 'EdDSA') header.alg = 'EdDSA'; };
    this.#dpop ??= oauth.getDPoPHandle(this.#configuration, this.#keys, { [oauth.modifyAssertion]: rename });
    return this.#dpop;
  }

  // token gets an access token by client_credentials.
  async token({ resource, scope = 'orders.read', bound = false }) {
    const answer = await oauth.clientCredentialsGrant(
      this.#configuration,
      { resource, scope },
      bound ? { DPoP: this.#handle() } : undefined,
    );
    this.secrets.add(answer.access_token);
    return answer.access_token;
  }

  // revoke takes a token back (RFC 7009).
  async revoke(token) {
    await oauth.tokenRevocation(this.#configuration, token);
  }

  // fetch asks for a protected resource as an application would.
  async fetch(token, url, { bound = false, method = 'GET', headers = {} } = {}) {
    const options = bound ? { DPoP: this.#handle() } : undefined;
    return oauth.fetchProtectedResource(this.#configuration, token, new URL(url), method, undefined, new Headers(headers), options);
  }

  // presentation returns the Authorization and DPoP fields fetch would send.
  async presentation(token, url, { method = 'GET' } = {}) {
    const options = { DPoP: this.#handle() };
    const answer = await oauth.fetchProtectedResource(this.#paper, token, new URL(url), method, undefined, undefined, options);
    const { authorization, dpop } = await answer.json();
    return { Authorization: authorization, DPoP: dpop };
  }
}

// Forger signs what looks like a token of the issuer with a key of its own.
export class Forger {
  static async create(secrets) {
    const forger = new Forger();
    forger.secrets = secrets;
    forger.key = (await generateKeyPair('ec', { namedCurve: 'P-256' })).privateKey;
    return forger;
  }

  // copy re-signs model under the given kid (default: the model's own), issued
  // age seconds ago.
  async copy(model, { kid = decodeProtectedHeader(model).kid, age = 60 } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const claims = { ...decodeJwt(model), iat: now - age, exp: now + 600, jti: crypto.randomUUID() };
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid }).sign(this.key);
    this.secrets.add(token);
    return token;
  }
}

export const bearer = (token) => ({ Authorization: `Bearer ${token}` });
