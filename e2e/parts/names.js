// What the parts must agree on.

export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'];
export const SCOPES = ['orders.read', 'orders.write'];
export const clientOf = (alg) => `client-${alg.toLowerCase()}`;
export const clientSecret = 'only-for-the-loopback-run';

export const ORDERS = 'https://orders.example.com'; // in front of the recorder
export const ECHO = 'https://echo.example.com'; // in front of nginx
export const ELSEWHERE = 'https://elsewhere.example.com'; // not behind this gate
