// Tokens that only their holder can use: DPoP with nonces at both servers, over
// several gates, and client certificates, shown to the gate itself or to an
// nginx or HAProxy in front of it.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { TlsClientAuth } from 'openid-client';

import { Client, bearer } from './parts/client.js';
import { send } from './parts/http.js';
import { leaks } from './parts/leaks.js';
import { ECHO, ORDERS, clientSecret } from './parts/names.js';
import { Registrar } from './parts/pki.js';
import { curl, secureFetch } from './parts/secure.js';
import { Stage, freePorts, listening, until } from './parts/stage.js';

const secrets = new Set();
const trust = {}; // ca and caFile
let stage;
let holder; // the identity of the client that has one
let stranger; // another identity
let gateIdentity;
let client; // with a secret
let bound; // with a certificate, which its tokens are bound to

before(async () => {
  let registrar;
  stage = await Stage.start({
    gate: false,
    authserver: './secureserver.js',
    prepare: async ({ folder }) => {
      registrar = await Registrar.start(folder);
      Object.assign(trust, { ca: registrar.authority.cert, caFile: registrar.authority.certFile });
      const [server] = await Promise.all([
        registrar.server('issuer'),
        registrar.server('gate').then((made) => { gateIdentity = made; }),
        registrar.client('holder').then((made) => { holder = made; }),
        registrar.client('stranger').then((made) => { stranger = made; }),
      ]);
      return {
        cert: server.cert,
        key: server.key,
        resources: [ORDERS, ECHO],
        clients: [
          { client_id: 'secret', client_secret: clientSecret },
          {
            client_id: 'certificate',
            token_endpoint_auth_method: 'self_signed_tls_client_auth',
            tls_client_certificate_bound_access_tokens: true,
            jwks: { keys: [holder.jwk] },
          },
        ],
      };
    },
  });
  client = await newClient('secret');
  bound = await newClient('certificate', holder);
});

after(() => stage?.stop());

beforeEach(() => stage.recorder('clear'));

function newClient(id, identity) {
  const authentication = identity && TlsClientAuth();
  return Client.discover(stage.issuer, 'ES256', secrets, { id, authentication, fetch: secureFetch({ ca: trust.ca, identity }) });
}

// configuration of a gate in front of the recorder, with more keys after it.
const configuration = ({ orders, echo, admin, origin, more = '' }) => `
version: 1
listen: 127.0.0.1:${orders}
admin: {listen: "127.0.0.1:${admin}"}
issuers:
  - {name: as, issuer: "${stage.issuer}", ca_file: ${trust.caFile}}
resources:
  - identifier: ${ORDERS}
    public_origins: ["${origin}"]
    upstream: http://127.0.0.1:${stage.recorderPort}
  - identifier: ${ECHO}
    listen: 127.0.0.1:${echo}
    public_origins: ["${origin.replace(`${orders}`, `${echo}`)}"]
    upstream: http://127.0.0.1:${stage.nginxPort}
log: {level: debug, access: all}
drain: {delay: 0s, timeout: 2s}
${more}
`;

async function startGate(write) {
  const gate = await stage.startGate(write);
  await stage.ready(gate);
  return gate;
}

const text = async (answer) => ({ status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() });

// field is what the upstream was told under a name, in the one spelling of it.
const field = (seen, name) => seen.fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);

// passed looks at what the upstream answered and was told.
function passed({ status, body }, binding) {
  assert.equal(status, 200, body);
  const seen = JSON.parse(body);
  assert.deepEqual(field(seen, 'X-Auth-Binding'), binding ? [binding] : []);
  const names = seen.fields.map(([name]) => name.toLowerCase().replaceAll('_', '-'));
  assert.deepEqual(names.filter((name) => /^(authorization|dpop|x-ssl-client|client-cert)/.test(name)), []);
  return seen;
}

// refused wants invalid_token, and that the upstream saw nothing.
async function refused({ status, headers, body }, scheme = 'Bearer') {
  assert.equal(status, 401, body);
  assert.equal(JSON.parse(body).error, 'invalid_token');
  assert.match(`${headers['www-authenticate']}`, new RegExp(`\\b${scheme} ([a-z_]+="[^"]*", )*error="invalid_token"`));
  assert.equal((await stage.recorder('count')).requests, 0, 'the upstream was not contacted');
}

describe('DPoP nonces', () => {
  const replicas = {};
  const secretFile = () => join(stage.folder, 'nonce.secret');
  const newSecret = () => writeFileSync(secretFile(), `${randomBytes(32).toString('base64')}\n`);
  let front; // of all replicas: one origin for the clients
  let token;

  before(async () => {
    const [port] = await freePorts(1);
    front = `http://127.0.0.1:${port}`;
    newSecret();
    const replica = (dpop) => startGate((ports) => configuration({ ...ports, origin: front, more: `dpop: {${dpop}}` }));
    const shared = `nonce: required, nonce_max_age: 1h, nonce_secret_file: ${secretFile()}`;
    [replicas.a, replicas.b, replicas.c, replicas.d] = await Promise.all(
      ['nonce: required', 'nonce: required', shared, shared].map(replica),
    );
    stage.runNginx('balancer', `
  map $http_x_replica $replica {
${Object.entries(replicas).map(([name, gate]) => `    ${name} ${gate.port};`).join('\n')}
  }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://127.0.0.1:$replica; proxy_set_header Host $http_host; }
  }`);
    await listening('balancer', port);
  });

  // visit sends one request to a replica as an application would, and returns
  // its answer with the statuses of all that the library had to send for it.
  async function visit(who, replica) {
    who.trips = [];
    const answer = await text(await who.fetch(token, `${front}/x`, { bound: true, headers: { 'X-Replica': replica } }));
    return { ...answer, trips: who.trips.map(({ status }) => status) };
  }

  test('the authorization server asks for one, the library tries again', async () => {
    client.trips = [];
    token = await client.token({ resource: ORDERS, bound: true });
    assert.deepEqual(client.trips.map(({ status }) => status), [400, 200]);
    assert.equal(typeof decodeJwt(token).cnf.jkt, 'string');
  });

  test('no nonce: 401 use_dpop_nonce with exactly one, which must not be stored', async () => {
    const headers = { ...await client.presentation(token, `${front}/x`), 'X-Replica': 'a' };
    const answer = await send({ url: `${front}/x`, headers });
    assert.equal(answer.status, 401);
    assert.equal(JSON.parse(answer.body).error, 'use_dpop_nonce');
    assert.match(answer.challenges.find((c) => c.startsWith('DPoP')), /error="use_dpop_nonce"/);
    assert.match(answer.headers['dpop-nonce'], /^[\w-]{22,43}$/);
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal((await stage.recorder('count')).requests, 0);
  });

  test('the library takes the nonce and tries again: 200, and again without a detour', async () => {
    const first = await visit(client, 'a');
    passed(first, 'dpop');
    assert.deepEqual(first.trips, [401, 200]);
    assert.deepEqual((await visit(client, 'a')).trips, [200]);
    assert.equal((await stage.recorder('count')).requests, 2);
  });

  test('the nonce of one replica at another: use_dpop_nonce, then 200', async () => {
    const answer = await visit(client, 'b');
    passed(answer, 'dpop');
    assert.deepEqual(answer.trips, [401, 200]);
    assert.deepEqual((await visit(client, 'b')).trips, [200]);
  });

  test('replicas with a secret in common: one detour for both', async () => {
    assert.deepEqual((await visit(client, 'c')).trips, [401, 200]);
    assert.deepEqual((await visit(client, 'd')).trips, [200]);
    assert.deepEqual((await visit(client, 'c')).trips, [200]);
  });

  test('a new secret: the next nonce comes ahead with a 200, and nobody makes a detour', async () => {
    const rotated = [replicas.c, replicas.d];
    const reloads = async (gate) => Number(/^wicketgate_config_reloads_total\{result="ok"\} (\d+)/m.exec((await gate.ask('/metrics')).body)[1]);
    const before = await Promise.all(rotated.map(reloads));
    newSecret();
    for (const gate of rotated) gate.child.kill('SIGHUP');
    await Promise.all(rotated.map((gate, i) => until('reload', async () => await reloads(gate) > before[i])));
    const answer = await visit(client, 'c');
    assert.deepEqual(answer.trips, [200]);
    assert.equal(answer.headers['cache-control'], 'no-store');
    const [{ nonce }] = client.trips;
    assert.match(nonce, /^[\w-]{22,43}$/);
    for (const replica of ['d', 'c']) {
      assert.deepEqual((await visit(client, replica)).trips, [200]);
      assert.equal(client.trips[0].nonce, null, 'the client has the latest');
    }
  });
});

describe('resource indicators', () => {
  let gate;

  before(async () => {
    gate = await startGate((ports) => configuration({ ...ports, origin: `http://127.0.0.1:${ports.orders}` }));
  });

  test('a token for each resource: good at its own, 401 at the other', async () => {
    const tokens = { orders: await client.token({ resource: ORDERS }), echo: await client.token({ resource: ECHO }) };
    assert.deepEqual([decodeJwt(tokens.orders).aud, decodeJwt(tokens.echo).aud], [ORDERS, ECHO]);
    for (const [name, token] of Object.entries(tokens)) {
      assert.equal((await send({ url: `${gate[name]}/x`, headers: bearer(token) })).status, 200, name);
    }
    await stage.recorder('clear');
    await refused(await send({ url: `${gate.orders}/x`, headers: bearer(tokens.echo) }));
    await refused(await send({ url: `${gate.echo}/x`, headers: bearer(tokens.orders) }));
  });

  test('no token is made for anybody else', async () => {
    await assert.rejects(client.token({ resource: 'https://unknown.example.com' }), { error: 'invalid_target' });
  });
});

describe('client certificates at the gate', () => {
  const fetches = {};
  let gate; // over HTTPS
  let plain; // sees no certificates
  let url;
  let token;

  before(async () => {
    [gate, plain] = await Promise.all([
      startGate((ports) => configuration({
        ...ports,
        origin: `https://127.0.0.1:${ports.orders}`,
        more: `tls: {cert_file: ${gateIdentity.certFile}, key_file: ${gateIdentity.keyFile}, client_auth: request_any}`,
      })),
      startGate((ports) => configuration({ ...ports, origin: `http://127.0.0.1:${ports.orders}` })),
    ]);
    url = `https://127.0.0.1:${gate.port}/x`;
    for (const [name, identity] of Object.entries({ holder, stranger, nobody: undefined })) {
      fetches[name] = secureFetch({ ca: trust.ca, identity });
    }
    token = await bound.token({ resource: ORDERS });
  });

  test('the token names the certificate that the client authenticated with', () => {
    assert.deepEqual(Object.keys(decodeJwt(token).cnf), ['x5t#S256']);
  });

  test('node and curl with that certificate: 200', async () => {
    passed(await text(await bound.fetch(token, url)), 'mtls');
    const answer = await curl(url, { caFile: trust.caFile, identity: holder, headers: bearer(token) });
    assert.equal(answer.version, '2');
    passed(answer, 'mtls');
  });

  test('another certificate, or none: 401', async () => {
    for (const name of ['stranger', 'nobody']) await refused(await text(await fetches[name](url, { headers: bearer(token) })));
    for (const identity of [stranger, undefined]) {
      assert.equal((await curl(url, { caFile: trust.caFile, identity, headers: bearer(token) })).status, 401);
    }
    assert.equal((await stage.recorder('count')).requests, 0);
  });

  test('as a bearer token at a gate without certificates: 401', async () => {
    await refused(await send({ url: `${plain.orders}/x`, headers: bearer(token) }));
    const pem = encodeURIComponent(holder.cert);
    await refused(await send({ url: `${plain.orders}/x`, headers: { ...bearer(token), 'X-SSL-Client-Cert': pem, 'Client-Cert': `:${holder.der.toString('base64')}:` } }));
  });

  test('one binding does not stand in for the other: 401', async () => {
    await refused(await text(await fetches.holder(url, { headers: await bound.presentation(token, url) })), 'DPoP');
    const keyed = await client.token({ resource: ORDERS, bound: true });
    await refused(await text(await fetches.holder(url, { headers: bearer(keyed) })));
  });
});

// Each ends TLS at front, asks for a client certificate without caring who
// vouches for it, and tells the gate.
const terminators = {
  nginx: {
    field: 'X-SSL-Client-Cert',
    write: (identity) => encodeURIComponent(identity.cert),
    start(front, gatePort) {
      stage.runNginx('nginx-tls', `
  server {
    listen 127.0.0.1:${front} ssl;
    ssl_certificate ${gateIdentity.certFile};
    ssl_certificate_key ${gateIdentity.keyFile};
    ssl_verify_client optional_no_ca;
    location / {
      proxy_pass http://127.0.0.1:${gatePort};
      proxy_set_header Host $http_host;
      proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
    }
  }`);
    },
  },
  haproxy: {
    field: 'X-SSL-Client-DER',
    write: (identity) => identity.der.toString('base64'),
    start(front, gatePort) {
      const pem = join(stage.folder, 'haproxy.pem');
      const file = join(stage.folder, 'haproxy.cfg');
      writeFileSync(pem, gateIdentity.cert + gateIdentity.key, { mode: 0o600 });
      writeFileSync(file, `
global
  log stderr format raw local0 notice
defaults
  mode http
  timeout connect 3s
  timeout client 10s
  timeout server 10s
frontend tls
  bind 127.0.0.1:${front} ssl crt ${pem} ca-file ${trust.caFile} verify optional ca-ignore-err all crt-ignore-err all
  http-request set-header X-SSL-Client-DER %[ssl_c_der,base64]
  default_backend gate
backend gate
  server gate 127.0.0.1:${gatePort}
`);
      stage.run('haproxy', 'haproxy', ['-db', '-f', file]);
    },
  },
};

for (const [name, terminator] of Object.entries(terminators)) {
  describe(`client certificates at ${name} in front of the gate`, () => {
    const fetches = {};
    let gate;
    let url;
    let token;

    before(async () => {
      const [front] = await freePorts(1);
      gate = await startGate((ports) => configuration({
        ...ports,
        origin: `https://127.0.0.1:${front}`,
        more: `trusted_proxies: [127.0.0.1]\nmtls: {from: header, header: ${name}}`,
      }));
      terminator.start(front, gate.port);
      await listening(name, front);
      url = `https://127.0.0.1:${front}/x`;
      for (const [who, identity] of Object.entries({ stranger, nobody: undefined })) {
        fetches[who] = secureFetch({ ca: trust.ca, identity });
      }
      token = await bound.token({ resource: ORDERS });
    });

    test('node and curl with the right certificate: 200', async () => {
      passed(await text(await bound.fetch(token, url)), 'mtls');
      passed(await curl(url, { caFile: trust.caFile, identity: holder, headers: bearer(token) }), 'mtls');
    });

    test('an unbound token needs no certificate', async () => {
      passed(await text(await fetches.nobody(url, { headers: bearer(await client.token({ resource: ORDERS })) })));
    });

    test('another certificate, or none: 401', async () => {
      for (const fetch of Object.values(fetches)) await refused(await text(await fetch(url, { headers: bearer(token) })));
    });

    test('the right one in a header of the client: overwritten, 401', async () => {
      const forged = terminator.write(holder);
      for (const fetch of Object.values(fetches)) {
        for (const spelling of [terminator.field, terminator.field.toLowerCase(), terminator.field.replaceAll('-', '_')]) {
          await refused(await text(await fetch(url, { headers: { ...bearer(token), [spelling]: forged } })));
        }
      }
    });

    test('the header from an untrusted peer: ignored, 401; the same from a trusted one: 200', async () => {
      const headers = { ...bearer(token), [terminator.field]: terminator.write(holder) };
      await refused(await sendFrom('127.0.0.2', gate.port, headers));
      passed(await sendFrom('127.0.0.1', gate.port, headers), 'mtls');
    });
  });
}

// sendFrom makes one request from an address of its own.
function sendFrom(localAddress, port, headers) {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, localAddress, path: '/x', headers, agent: false, timeout: 10_000 }, (res) => {
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks).toString() }));
    });
    req.on('timeout', () => req.destroy(new Error('no answer within 10 s')));
    req.on('error', reject);
    req.end();
  });
}

test('no token or proof of this run is in metrics or log', async (t) => {
  const written = await Promise.all(stage.gates.map(async (gate) => {
    const { body } = await gate.ask('/metrics');
    assert.equal(await stage.stopGate(gate), 0, 'exit code after SIGTERM');
    return body + gate.log();
  }));
  assert.ok(secrets.size > 10);
  assert.deepEqual(leaks(written.join('\n'), secrets), []);
  t.diagnostic(`${secrets.size} tokens and proofs, ${stage.gates.length} gates`);
});
