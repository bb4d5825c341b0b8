// What the parts must agree on.

export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'];
export const SCOPES = ['orders.read', 'orders.write'];
export const clientOf = (alg) => `client-${alg.toLowerCase()}`;
export const clientSecret = 'only-for-the-loopback-run';

// Their tokens are opaque: only the authorization server can read them.
export const opaqueClient = 'opaque';
export const opaqueBoundClient = 'opaque-certificate';
export const hasOpaqueTokens = (id) => id.startsWith(opaqueClient);

// gateClient is who a gate is to the authorization server, by how it proves that.
export const gateClient = (method) => `gate-${method}`;

export const ORDERS = 'https://orders.example.com'; // in front of the recorder
export const ECHO = 'https://echo.example.com'; // in front of nginx
export const ELSEWHERE = 'https://elsewhere.example.com'; // not behind this gate
