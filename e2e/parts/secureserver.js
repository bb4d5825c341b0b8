// The authorization server as high-value APIs want it: oidc-provider over
// HTTPS, which asks for DPoP nonces, binds tokens to client certificates, lets
// clients register, and signs a user in who is not asked for anything.

import { createServer } from 'node:https';
import { generateKeyPair as generate } from 'node:crypto';
import { promisify } from 'node:util';
import Provider, { errors } from 'oidc-provider';

import { serveParent } from './child.js';
import { SCOPES, hasOpaqueTokens } from './names.js';

const generateKeyPair = promisify(generate);

const ALGORITHM = 'ES256';
const WEEK = 7 * 24 * 3600;

let server;
let provider;
let known; // the resources that tokens are made for

async function newKey() {
  const { privateKey } = await generateKeyPair('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), alg: ALGORITHM, use: 'sig', kid: 'secure' };
}

function features() {
  return {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: crypto.getRandomValues(Buffer.alloc(32)), requireNonce: () => true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => ctx.socket.getPeerX509Certificate(),
    },
    registration: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId.startsWith('gate-') },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, audience, { clientId }) => {
        if (!known.includes(audience)) throw new errors.InvalidTarget();
        const scope = SCOPES.join(' ');
        return hasOpaqueTokens(clientId)
          ? { audience, scope, accessTokenFormat: 'opaque' }
          : { audience, scope, accessTokenFormat: 'jwt', jwt: { sign: { alg: ALGORITHM } } };
      },
    },
  };
}

async function configuration(clients) {
  return {
    jwks: { keys: [await newKey()] },
    cookies: { keys: ['only for the loopback run'] },
    scopes: ['openid', ...SCOPES],
    acrValues: ['silver', 'gold'],
    clientDefaults: { id_token_signed_response_alg: ALGORITHM },
    clients: clients.map((client) => ({
      grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: SCOPES.join(' '), ...client,
    })),
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'self_signed_tls_client_auth', 'none'],
    enabledJWA: { dPoPSigningAlgValues: [ALGORITHM] },
    ttl: { AccessToken: 600, ClientCredentials: 600, Session: WEEK, Grant: WEEK, Interaction: 600, IdToken: 600 },
    features: features(),
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    interactions: { url: (ctx, { uid }) => `/interaction/${uid}` },
    loadExistingGrant: async ({ oidc }) => {
      const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope(['openid', ...SCOPES].join(' '));
      for (const resource of Object.keys(oidc.resourceServers)) grant.addResourceScope(resource, SCOPES.join(' '));
      await grant.save();
      return grant;
    },
    // How the user was authenticated (RFC 9068 section 2.2.1).
    extraTokenClaims: ({ oidc }) => {
      const { authTime, acr, amr } = oidc.entities.AuthorizationCode ?? {};
      return authTime ? { auth_time: authTime, acr, amr } : undefined;
    },
  };
}

// How a user signs in who is asked to, and who agrees to whatever a client asks
// for. Who need not sign in again has been here for ten minutes already.
const answers = {
  login({ acr_values: wanted = 'silver', max_age: age, prompt }) {
    const [acr] = wanted.split(' ');
    const again = age !== undefined || prompt === 'login';
    return { accountId: 'alice', acr, amr: acr === 'gold' ? ['pwd', 'otp'] : ['pwd'], ts: Math.floor(Date.now() / 1000) - (again ? 0 : 600) };
  },
  consent: () => ({}),
};

async function interact(req, res) {
  const { params, prompt } = await provider.interactionDetails(req, res);
  await provider.interactionFinished(req, res, { [prompt.name]: answers[prompt.name](params) });
}

serveParent({
  // start takes the certificate of the server, clients beside those that will
  // register, and the resources that tokens are made for.
  async start({ cert, key, clients = [], resources = [] }) {
    known = resources;
    server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, (req, res) => {
      if (!req.url.startsWith('/interaction/')) return provider.callback()(req, res);
      return interact(req, res).catch((error) => { res.statusCode = 500; res.end(error.stack); });
    });
    await new Promise((resolve, reject) => {
      server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    const issuer = `https://127.0.0.1:${server.address().port}`;
    provider = new Provider(issuer, await configuration(clients));
    return { issuer };
  },

  // protect makes tokens for one more resource from now on.
  protect({ resource }) {
    known.push(resource);
  },
});
