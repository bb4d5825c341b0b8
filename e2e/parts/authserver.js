// The authorization server: oidc-provider on loopback, in a process of its own.
// It issues RFC 9068 access tokens for client_credentials. The client chooses
// the algorithm by its name, the resource parameter the audience.
//
// oidc-provider reads its keys once, so new keys mean a new Provider behind the
// same socket. Each generation of keys has kids of its own.

import { createServer } from 'node:http';
import { generateKeyPair as generate } from 'node:crypto';
import { promisify } from 'node:util';
import Provider from 'oidc-provider';

import { serveParent } from './child.js';
import { ALGORITHMS, SCOPES, clientOf, clientSecret } from './names.js';

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

async function newKeys(n) {
  return Promise.all(ALGORITHMS.map(async (alg) => {
    const { privateKey } = await generateKeyPair(...KEY_TYPES[alg]);
    return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `k${n}-${alg}` };
  }));
}

function configuration(keys) {
  return {
    jwks: { keys },
    cookies: { keys: ['not used by client_credentials'] },
    scopes: SCOPES,
    clients: ALGORITHMS.map((alg) => ({
      client_id: clientOf(alg),
      client_secret: clientSecret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      scope: SCOPES.join(' '),
    })),
    enabledJWA: { dPoPSigningAlgValues: ALGORITHMS },
    ttl: { ClientCredentials: 600 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, audience, client) => ({
          audience,
          scope: SCOPES.join(' '),
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: ALGORITHMS.find((alg) => clientOf(alg) === client.clientId) } },
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
  async start() {
    server = createServer((req, res) => {
      if (req.url.startsWith('/jwks')) fetches += 1;
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
};

serveParent(operations);
