// The authorization server: oidc-provider on loopback, in a process of its own.
// It issues access tokens for client_credentials: RFC 9068 ones, of which the
// client chooses the algorithm by its name, or opaque ones. The resource
// parameter chooses the audience.
//
// oidc-provider reads its keys once, so new keys mean a new Provider behind the
// same socket. Each generation of keys has kids of its own.

import { createServer } from 'node:http';
import { generateKeyPair as generate } from 'node:crypto';
import { promisify } from 'node:util';
import Provider from 'oidc-provider';

import { Adapter } from './adapter.js';
import { serveParent } from './child.js';
import { ALGORITHMS, SCOPES, clientOf, clientSecret, gateClient, hasOpaqueTokens, opaqueClient } from './names.js';

const generateKeyPair = promisify(generate);

const KEY_TYPES = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
  Ed25519: ['ed25519', {}],
};

let port = 0;
let server;
let handle; // of the Provider in office
let generation = 0;
let published = [];
let fetches = 0; // of the key set
let questions = 0; // about tokens
let gateKey; // public JWK of the gate that proves itself by a signature

async function newKeys(n) {
  return Promise.all(ALGORITHMS.map(async (alg) => {
    const { privateKey } = await generateKeyPair(...KEY_TYPES[alg]);
    return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `k${n}-${alg}` };
  }));
}

function clients() {
  const methods = { basic: 'client_secret_basic', post: 'client_secret_post', private_key_jwt: 'private_key_jwt' };
  return [
    ...[...ALGORITHMS.map(clientOf), opaqueClient].map((id) => ({ client_id: id, client_secret: clientSecret })),
    ...Object.entries(methods).filter(([method]) => gateKey || method !== 'private_key_jwt').map(([method, name]) => ({
      client_id: gateClient(method),
      token_endpoint_auth_method: name,
      ...(method === 'private_key_jwt' ? { jwks: { keys: [gateKey] } } : { client_secret: clientSecret }),
    })),
  ].map((client) => ({ grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: SCOPES.join(' '), ...client }));
}

function configuration(keys) {
  return {
    adapter: Adapter,
    jwks: { keys },
    cookies: { keys: ['not used by client_credentials'] },
    scopes: SCOPES,
    clients: clients(),
    enabledJWA: { dPoPSigningAlgValues: ALGORITHMS },
    ttl: { ClientCredentials: 600 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId.startsWith('gate-') },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, audience, { clientId }) => ({
          audience,
          scope: SCOPES.join(' '),
          ...(hasOpaqueTokens(clientId)
            ? { accessTokenFormat: 'opaque' }
            : { accessTokenFormat: 'jwt', jwt: { sign: { alg: ALGORITHMS.find((alg) => clientOf(alg) === clientId) } } }),
        }),
      },
    },
  };
}

const issuer = () => `http://127.0.0.1:${port}`;

function mount() {
  handle = new Provider(issuer(), configuration(published)).callback();
}

const operations = {
  // start listens, on the port it had before if it had one, with the keys it had before.
  // A gate that proves itself by a signature does it with the other half of
  // gateJwk.
  async start({ gateJwk = gateKey } = {}) {
    gateKey = gateJwk;
    server = createServer((req, res) => {
      if (req.url.startsWith('/jwks')) fetches += 1;
      if (req.url.startsWith('/token/introspection')) questions += 1;
      handle(req, res);
    });
    await new Promise((resolve, reject) => {
      server.once('error', reject).listen(port, '127.0.0.1', resolve);
    });
    port = server.address().port;
    if (generation === 0) {
      published = await newKeys(generation += 1);
      mount();
    }
    return { issuer: issuer() };
  },

  async stop() {
    server.closeAllConnections();
    await new Promise((resolve) => { server.close(resolve); });
  },

  // rotate signs with new keys from now on. The old ones stay published with
  // overlap, and are withdrawn without.
  async rotate({ overlap }) {
    const old = published.filter((key) => key.kid.startsWith(`k${generation}-`));
    const fresh = await newKeys(generation += 1);
    // The first key that fits is the one that signs.
    published = overlap ? [...fresh, ...old] : fresh;
    mount();
    return { generation };
  },

  fetches: () => fetches,

  questions: () => questions,
};

serveParent(operations);
