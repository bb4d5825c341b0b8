// Access tokens that only the authorization server can read: it is asked about
// them, in each way to prove who asks, while it revokes, rotates its keys, and is
// away.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { TlsClientAuth } from 'openid-client';

import { Client, bearer } from './parts/client.js';
import { send } from './parts/http.js';
import { leaks } from './parts/leaks.js';
import { Load } from './parts/load.js';
import { ECHO, ELSEWHERE, ORDERS, clientSecret, gateClient, opaqueBoundClient, opaqueClient } from './parts/names.js';
import { Registrar } from './parts/pki.js';
import { secureFetch } from './parts/secure.js';
import { Stage, until } from './parts/stage.js';

const CACHE = 1000; // ms: how long the gates remember an answer
const secrets = new Set();

// configuration of a gate in front of recorder and nginx, with more keys of its
// issuer and at the end.
const configuration = (stage, { orders, echo, admin }, { introspection, issuer = '', origin = `http://127.0.0.1:${orders}`, more = '' }) => `
version: 1
listen: 127.0.0.1:${orders}
admin: {listen: "127.0.0.1:${admin}"}
issuers:
  - name: as
    issuer: "${stage.issuer}"
    refetch_interval: 1s
    introspection: {${introspection}, cache: ${CACHE / 1000}s}
    ${issuer}
resources:
  - identifier: ${ORDERS}
    public_origins: ["${origin}"]
    upstream: http://127.0.0.1:${stage.recorderPort}
    routes:
      - {name: read, path: /read/**, methods: [GET], scopes: [orders.read]}
      - {name: write, path: /write, methods: [GET], scopes: [orders.write]}
  - identifier: ${ECHO}
    listen: 127.0.0.1:${echo}
    public_origins: ["http://127.0.0.1:${echo}"]
    upstream: http://127.0.0.1:${stage.nginxPort}
log: {level: debug, access: all}
drain: {delay: 0s, timeout: 2s}
${more}
`;

// told is what an upstream learned of the caller.
const told = (request) => Object.fromEntries(request.fields
  .map(([name, value]) => [name.toLowerCase(), value])
  .filter(([name]) => /^(x[-_.]auth|authorization$|dpop$)/.test(name)));

// refused wants invalid_token under a scheme.
function refused(answer, scheme = 'Bearer') {
  assert.equal(answer.status, 401, answer.body);
  assert.ok(answer.challenges.some((c) => c.startsWith(`${scheme} `) && c.includes('error="invalid_token"')), `${answer.challenges}`);
}

// undecided is the answer when the gate cannot tell.
function undecided(answer) {
  assert.equal(answer.status, 503, answer.body);
  assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
  assert.deepEqual(answer.challenges, []);
}

// quiet ends the gates of a stage and looks for what they should not have
// written.
async function quiet(stage, t) {
  for (const gate of stage.gates) {
    const metrics = (await gate.ask('/metrics')).body;
    assert.equal(await stage.stopGate(gate), 0, 'exit code after SIGTERM');
    assert.deepEqual(leaks(`${metrics}\n${gate.log()}`, new Set([...secrets, clientSecret])).slice(0, 5), []);
  }
  t.diagnostic(`${secrets.size} tokens and proofs, ${stage.gates.length} gates`);
}

describe('opaque tokens', () => {
  const gates = {}; // by how they prove who they are
  let stage;
  let client; // has opaque tokens
  let other; // has JWTs
  let gate; // one of them, where it does not matter
  let load;

  before(async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const id = { kid: 'gate-1', alg: 'ES256', use: 'sig' };
    stage = await Stage.start({ gate: false, prepare: async () => ({ gateJwk: { ...publicKey.export({ format: 'jwk' }), ...id } }) });
    const file = (name, text) => {
      const path = join(stage.folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    const secret = file('secret', `${clientSecret}\n`);
    const proofs = {
      basic: `client_secret_file: ${secret}`,
      post: `client_secret_file: ${secret}`,
      private_key_jwt: `key_file: ${file('gate.jwk', JSON.stringify({ ...privateKey.export({ format: 'jwk' }), ...id }))}`,
    };
    for (const [method, proof] of Object.entries(proofs)) {
      const introspection = `client_id: ${gateClient(method)}, auth: ${method}, ${proof}`;
      gates[method] = await stage.startGate((ports) => configuration(stage, ports, { introspection }));
    }
    const wrong = `client_id: ${gateClient('basic')}, client_secret_file: ${file('wrong', 'wrong')}`;
    gates.wrong = await stage.startGate((ports) => configuration(stage, ports, { introspection: wrong }));
    await Promise.all(Object.values(gates).map((one) => stage.ready(one)));
    gate = gates.basic;
    client = await Client.discover(stage.issuer, 'ES256', secrets, { id: opaqueClient });
    other = await Client.discover(stage.issuer, 'ES256', secrets);
  });

  after(() => stage?.stop());

  beforeEach(() => stage.recorder('clear'));

  afterEach(() => load?.stop());

  const read = (headers, at = gate) => send({ url: `${at.orders}/read/1`, headers });

  for (const method of ['basic', 'post', 'private_key_jwt']) {
    test(`the gate proves itself by ${method}: 200 with the headers, and one question`, async () => {
      const token = await client.token({ resource: ORDERS });
      assert.ok(!token.includes('.'), 'it is opaque');
      const before = await stage.authserver('questions');
      for (let i = 0; i < 3; i += 1) assert.equal((await read(bearer(token), gates[method])).status, 200);
      assert.equal(await stage.authserver('questions'), before + 1);
      const [request, ...more] = await stage.recorder('seen');
      assert.equal(more.length, 2);
      assert.deepEqual(told(request), {
        'x-auth-issuer': stage.issuer, 'x-auth-client-id': opaqueClient, 'x-auth-scope': 'orders.read', 'x-auth-subject-type': 'client',
      });
      assert.equal((await read(bearer(await other.token({ resource: ORDERS })), gates[method])).status, 200, 'a JWT');
      assert.equal(await stage.authserver('questions'), before + 1, 'nobody is asked about a JWT');
    });
  }

  test('wrong scope 403, another resource, garbage: 401, and nothing upstream', async () => {
    const token = await client.token({ resource: ORDERS });
    assert.equal((await send({ url: `${gate.orders}/write`, headers: bearer(token) })).status, 403);
    refused(await send({ url: `${gate.echo}/x`, headers: bearer(token) }));
    refused(await read(bearer(await client.token({ resource: ELSEWHERE }))));
    refused(await read(bearer('garbage')));
    assert.equal((await stage.recorder('count')).requests, 0);
    assert.equal((await send({ url: `${gate.echo}/x`, headers: bearer(await client.token({ resource: ECHO })) })).status, 200);
  });

  test('the gate has the wrong secret: 503, never 401, and JWTs go on', async () => {
    for (let i = 0; i < 3; i += 1) undecided(await read(bearer(await client.token({ resource: ORDERS })), gates.wrong));
    assert.equal((await stage.recorder('count')).requests, 0);
    assert.equal((await read(bearer(await other.token({ resource: ORDERS })), gates.wrong)).status, 200);
  });

  test('revoked: refused after the time of the cache at most, and from then on', async (t) => {
    const token = await client.token({ resource: ORDERS });
    assert.equal((await read(bearer(token))).status, 200);
    await client.revoke(token);
    const began = performance.now();
    let passed = 0;
    await until('refusal', async () => {
      const sent = performance.now();
      const answer = await read(bearer(token));
      if (answer.status === 200) {
        assert.ok(sent < began + CACHE, 'an answer is not remembered for longer');
        passed += 1;
        return false;
      }
      refused(answer);
      return true;
    });
    refused(await read(bearer(token)));
    refused(await read(bearer(token), gates.post), 'Bearer');
    t.diagnostic(`passed ${passed} times after it was revoked`);
  });

  test('bound by DPoP: 200 once for each proof, 401 as a bearer token or with another key', async () => {
    const url = `${gate.orders}/read/1`;
    const token = await client.token({ resource: ORDERS, bound: true });
    const used = await client.presentation(token, url);
    assert.equal((await read(used)).status, 200);
    const [request] = await stage.recorder('seen');
    assert.equal(told(request)['x-auth-binding'], 'dpop');
    const replay = await read(used);
    assert.equal(replay.status, 401);
    assert.match(replay.challenges.join(), /error="invalid_dpop_proof"/);
    refused(await read(bearer(token)));
    refused(await read({ ...bearer(token), DPoP: (await client.presentation(token, url)).DPoP }));
    refused(await read(await other.presentation(token, url)), 'DPoP');
    refused(await read(await client.presentation(await client.token({ resource: ORDERS }), url)), 'DPoP');
    assert.equal((await read(await client.presentation(token, url))).status, 200);
    assert.equal((await stage.recorder('count')).requests, 2);
  });

  test('keys rotate while opaque tokens and JWTs come: no verdict is wrong', async (t) => {
    await stage.recorder('clear');
    const url = `${gate.orders}/read/1`;
    const opaque = await Promise.all(Array.from({ length: 20 }, () => client.token({ resource: ORDERS })));
    const bound = await client.token({ resource: ORDERS, bound: true });
    const revoked = await client.token({ resource: ORDERS });
    await client.revoke(revoked);
    let jwt = await other.token({ resource: ORDERS });
    const is = (status) => (answer) => answer.status === status;
    const mix = async (n) => {
      const place = n % 20;
      if (place < 8) return { kind: 'opaque', url, headers: bearer(opaque[n % opaque.length]), expect: is(200) };
      if (place < 10) return { kind: 'opaque dpop', url, headers: await client.presentation(bound, url), expect: is(200) };
      if (place < 12) return { kind: 'revoked', url, headers: bearer(revoked), expect: is(401) };
      if (place < 13) return { kind: 'garbage', url, headers: bearer(`garbage-${n}`), expect: is(401) };
      return { kind: 'jwt', url, headers: bearer(jwt), expect: is(200) };
    };
    load = new Load({ rate: 150, most: 10_000, mix });
    load.start();
    for (let rotation = 1; rotation <= 6; rotation += 1) {
      const enough = load.judged + 150;
      await until('requests between rotations', async () => load.judged >= enough, 20_000);
      const old = jwt;
      await stage.authserver('rotate', { overlap: true });
      const next = await other.token({ resource: ORDERS });
      const first = { kind: 'first of a new key', url, headers: bearer(next), expect: (a) => a.status === 200 || a.status === 503 };
      await until('the new key', async () => (await load.go(first)).status === 200, 5000);
      jwt = next;
      await load.go({ kind: 'old key, kept', url, headers: bearer(old), expect: is(200) });
    }
    await stage.authserver('rotate', { overlap: false });
    const { requests } = await load.stop();
    for (const [key, n] of Object.entries(load.counts).sort()) t.diagnostic(`${String(n).padStart(6)}  ${key}`);
    t.diagnostic(`7 rotations, ${requests} requests, ${load.wrong.length} wrong verdicts`);
    assert.deepEqual(load.wrong.slice(0, 5), []);
    assert.equal((await stage.recorder('count')).requests, load.allowed, 'each 200 reached the upstream once, nothing else did');
    const latest = await other.token({ resource: ORDERS });
    await until('the last key', async () => (await read(bearer(latest))).status === 200, 5000);
    refused(await read(bearer(await client.token({ resource: ELSEWHERE }))));
    await until('the withdrawn key', async () => {
      const answer = await read(bearer(jwt));
      assert.notEqual(answer.status, 200);
      return answer.status === 401;
    }, 5000);
    assert.equal((await read(bearer(opaque[0]))).status, 200);
  });

  test('the server stopped: JWTs go on, opaque tokens wait, and it recovers', async () => {
    const token = await client.token({ resource: ORDERS });
    const unseen = await client.token({ resource: ORDERS });
    const jwt = await other.token({ resource: ORDERS });
    assert.equal((await read(bearer(token))).status, 200);
    await until('the key', async () => (await read(bearer(jwt))).status === 200);
    await stage.authserver('stop');
    undecided(await read(bearer(unseen)));
    await until('the end of the answer', async () => (await read(bearer(token))).status === 503, 5000);
    for (let i = 0; i < 25; i += 1) {
      undecided(await read(bearer(token)));
      assert.equal((await read(bearer(jwt))).status, 200);
    }
    await stage.authserver('start');
    await until('recovery', async () => {
      const answer = await read(bearer(unseen));
      if (answer.status === 200) return true;
      undecided(answer);
      return false;
    });
    assert.equal((await read(bearer(token))).status, 200);
    refused(await read(bearer('unknown')));
  });

  test('no token, proof or secret of this run is in metrics or log', (t) => quiet(stage, t));
});

describe('opaque tokens bound to a certificate, and a gate that proves itself by one', () => {
  const fetches = {};
  let stage;
  let gate;
  let bound;
  let url;

  before(async () => {
    const made = {};
    let authority;
    stage = await Stage.start({
      gate: false,
      authserver: './secureserver.js',
      prepare: async ({ folder }) => {
        const registrar = await Registrar.start(folder);
        authority = registrar.authority;
        for (const name of ['issuer', 'front']) made[name] = await registrar.server(name);
        for (const name of ['holder', 'stranger', 'gate']) made[name] = await registrar.client(name);
        const byCertificate = (id, identity) => ({
          client_id: id, token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: [identity.jwk] },
        });
        return {
          cert: made.issuer.cert,
          key: made.issuer.key,
          resources: [ORDERS],
          clients: [
            byCertificate(gateClient('mtls'), made.gate),
            { ...byCertificate(opaqueBoundClient, made.holder), tls_client_certificate_bound_access_tokens: true },
          ],
        };
      },
    });
    gate = await stage.startGate((ports) => configuration(stage, ports, {
      introspection: `client_id: ${gateClient('mtls')}, auth: mtls, cert_file: ${made.gate.certFile}, key_file: ${made.gate.keyFile}`,
      issuer: `ca_file: ${authority.certFile}`,
      origin: `https://127.0.0.1:${ports.orders}`,
      more: `tls: {cert_file: ${made.front.certFile}, key_file: ${made.front.keyFile}, client_auth: request_any}`,
    }));
    await stage.ready(gate);
    url = `https://127.0.0.1:${gate.port}/read/1`;
    for (const [name, identity] of Object.entries({ holder: made.holder, stranger: made.stranger, nobody: undefined })) {
      fetches[name] = secureFetch({ ca: authority.cert, identity });
    }
    bound = await Client.discover(stage.issuer, 'ES256', secrets, { id: opaqueBoundClient, authentication: TlsClientAuth(), fetch: fetches.holder });
  });

  after(() => stage?.stop());

  test('with that certificate 200, with another or none 401', async () => {
    const token = await bound.token({ resource: ORDERS });
    assert.ok(!token.includes('.'), 'it is opaque');
    const answer = await fetches.holder(url, { headers: bearer(token) });
    assert.equal(answer.status, 200);
    assert.equal(told(await answer.json())['x-auth-binding'], 'mtls');
    for (const name of ['stranger', 'nobody']) {
      const refusal = await fetches[name](url, { headers: bearer(token) });
      assert.equal(refusal.status, 401, name);
      assert.match(refusal.headers.get('www-authenticate'), /error="invalid_token"/);
    }
    assert.equal((await fetches.holder(url, { headers: bearer('unknown') })).status, 401);
  });

  test('no token of this run is in metrics or log', (t) => quiet(stage, t));
});
