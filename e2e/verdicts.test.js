// What the gate answers, and what upstreams see, with tokens of a real
// authorization server and requests of a real client.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { Client, Forger, bearer } from './parts/client.js';
import { send } from './parts/http.js';
import { leaks } from './parts/leaks.js';
import { ALGORITHMS, ECHO, ELSEWHERE, ORDERS, clientOf } from './parts/names.js';
import { Stage } from './parts/stage.js';

const secrets = new Set();
const clients = {};
let stage;
let gate;
let client; // the ES256 one, where the algorithm does not matter

before(async () => {
  stage = await Stage.start();
  gate = stage.gate;
  await stage.ready();
  for (const alg of ALGORITHMS) clients[alg] = await Client.discover(stage.issuer, alg, secrets);
  client = clients.ES256;
});

after(() => stage?.stop());

beforeEach(() => stage.recorder('clear'));

const spoofed = {
  'X-Auth-Subject': 'evil', X_Auth_Subject: 'evil', 'x-auth_scope': 'evil', 'X-Auth-Binding': 'evil', 'X-Auth-Client-Id': 'evil', 'X-Auth-Email': 'evil',
};

// identity is what an upstream must be told about this client.
const identity = (alg, bound) => ({
  'x-auth-subject': clientOf(alg),
  'x-auth-subject-type': 'client',
  'x-auth-issuer': stage.issuer,
  'x-auth-client-id': clientOf(alg),
  'x-auth-scope': 'orders.read',
  ...(bound ? { 'x-auth-binding': 'dpop' } : {}),
});

// told returns the fields of a recorded request that say who calls, in
// whatever spelling, or that carry a credential.
function told(request) {
  const fields = {};
  for (const [name, value] of request.fields) {
    const key = name.toLowerCase();
    if (/^(x[-_.]auth|authorization$|dpop$)/.test(key)) {
      assert.ok(!(key in fields), `${name} twice`);
      fields[key] = value;
    }
  }
  return fields;
}

async function refused(headers, expected, target = {}) {
  const before = await stage.recorder('count');
  const answer = await send({ url: `${gate.orders}/read/1`, headers, ...target });
  const { error } = answer.body === '' ? {} : JSON.parse(answer.body);
  assert.deepEqual(
    { status: answer.status, error, challenges: answer.challenges.map((c) => [c.split(' ')[0], /\berror="([^"]+)"/.exec(c)?.[1]]) },
    expected,
  );
  for (const challenge of answer.challenges.filter((c) => c.startsWith('DPoP'))) assert.match(challenge, /algs="[^"]*\bES256\b/);
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.deepEqual(await stage.recorder('count'), before, 'the upstream was not contacted');
  return answer;
}

// The answers of the gate, in one place: [scheme, error] per challenge.
const anonymous = { status: 401, error: undefined, challenges: [['Bearer', undefined], ['DPoP', undefined]] };
const badBearer = { status: 401, error: 'invalid_token', challenges: [['Bearer', 'invalid_token'], ['DPoP', undefined]] };
const badBound = { status: 401, error: 'invalid_token', challenges: [['Bearer', undefined], ['DPoP', 'invalid_token']] };
const badProof = { status: 401, error: 'invalid_dpop_proof', challenges: [['Bearer', undefined], ['DPoP', 'invalid_dpop_proof']] };

describe('good requests', () => {
  for (const alg of ALGORITHMS) {
    for (const bound of [false, true]) {
      test(`${alg} ${bound ? 'DPoP' : 'Bearer'}: 200, identity and nothing else reaches recorder and nginx`, async (t) => {
        const token = await clients[alg].token({ resource: ORDERS, bound });
        const answer = await clients[alg].fetch(token, `${gate.orders}/read/1?page=2`, { bound, headers: spoofed });
        assert.equal(answer.status, 200);
        const [request, ...more] = await stage.recorder('seen');
        assert.deepEqual(more, []);
        assert.equal(request.target, '/read/1?page=2');
        assert.deepEqual(told(request), identity(alg, bound));

        const other = await clients[alg].token({ resource: ECHO, bound });
        const echoed = await clients[alg].fetch(other, `${gate.echo}/anything`, { bound, headers: spoofed });
        assert.equal(echoed.status, 200);
        const echo = await echoed.json();
        const seen = Object.fromEntries(Object.entries(echo)
          .map(([name, value]) => [name.replaceAll('_', '-'), value])
          .filter(([name, value]) => value !== '' && /^(x-auth|authorization|dpop)/.test(name)));
        assert.deepEqual(seen, identity(alg, bound));
        t.diagnostic(`nginx saw ${JSON.stringify(seen)}`);
      });
    }
  }

  test('a DPoP-bound token on the route that requires one, and on the stripped route with the external htu', async () => {
    const token = await client.token({ resource: ORDERS, bound: true });
    assert.equal((await client.fetch(token, `${gate.orders}/bound/1`, { bound: true })).status, 200);
    assert.equal((await client.fetch(token, `${gate.orders}/ext/read/1`, { bound: true })).status, 200);
    assert.deepEqual((await stage.recorder('seen')).map((r) => r.target), ['/bound/1', '/read/1']);
  });

  test('the public and the optional route pass without a token, and without an identity', async () => {
    for (const path of ['/open', '/maybe']) {
      const answer = await send({ url: gate.orders + path, headers: spoofed });
      assert.equal(answer.status, 200, path);
    }
    assert.deepEqual((await stage.recorder('seen')).map(told), [{}, {}]);
  });
});

describe('refusals', () => {
  let token;
  let bound;
  let url;

  before(async () => {
    token = await client.token({ resource: ORDERS });
    bound = await client.token({ resource: ORDERS, bound: true });
    url = `${gate.orders}/read/1`;
  });

  test('no token: 401, Bearer then DPoP with algs, no error', async (t) => {
    const answer = await refused({}, anonymous);
    t.diagnostic(answer.challenges.join(' | '));
  });

  test('no route: 404 without a challenge, TRACE: 405', async () => {
    await refused(bearer(token), { status: 404, error: 'not_found', challenges: [] }, { url: `${gate.orders}/nowhere` });
    await refused(bearer(token), { status: 405, error: 'method_not_allowed', challenges: [] }, { method: 'TRACE' });
  });

  test('wrong scope: 403 insufficient_scope that names the scope', async (t) => {
    const post = { url: `${gate.orders}/write`, method: 'POST' };
    const answer = await refused(
      bearer(token),
      { status: 403, error: 'insufficient_scope', challenges: [['Bearer', 'insufficient_scope'], ['DPoP', undefined]] },
      post,
    );
    assert.match(answer.challenges[0], /scope="orders\.write"/);
    t.diagnostic(answer.challenges.join(' | '));
    const wide = await client.token({ resource: ORDERS, scope: 'orders.read orders.write' });
    assert.equal((await send({ ...post, headers: bearer(wide) })).status, 200);
  });

  test('wrong audience: 401', async () => {
    await refused(bearer(await client.token({ resource: ELSEWHERE })), badBearer);
    await refused(bearer(await client.token({ resource: ECHO })), badBearer);
  });

  test('garbage, a foreign key under a published kid, a changed payload: 401', async () => {
    const forger = await Forger.create(secrets);
    const [header, payload, signature] = token.split('.');
    const changed = payload.replace(/^./, (c) => (c === 'e' ? 'f' : 'e'));
    for (const bad of ['garbage', 'a.b.c', await forger.copy(token), `${header}.${changed}.${signature}`, `${header}.${payload}.`]) {
      await refused(bearer(bad), badBearer);
    }
  });

  test('an unknown kid: 401, in the same words as a bad signature', async () => {
    const forger = await Forger.create(secrets);
    const unknown = await refused(bearer(await forger.copy(token, { kid: 'nobody-published-this' })), badBearer);
    const forged = await refused(bearer(await forger.copy(token)), badBearer);
    assert.equal(unknown.body, forged.body);
    assert.deepEqual(unknown.challenges, forged.challenges);
  });

  test('a bad token on the optional route: 401', async () => {
    await refused(bearer('garbage'), badBearer, { url: `${gate.orders}/maybe` });
  });

  test('a bound token as Bearer, with or without a proof beside it: 401', async () => {
    await refused(bearer(bound), badBearer);
    const { DPoP } = await client.presentation(bound, url);
    await refused({ ...bearer(bound), DPoP }, badBearer);
  });

  test('an unbound token under DPoP: 401 invalid_token', async () => {
    await refused(await client.presentation(token, url), badBound);
  });

  test('a bound token with the proof of another key: 401 invalid_token', async () => {
    const { DPoP } = await clients.Ed25519.presentation(bound, url);
    await refused({ Authorization: `DPoP ${bound}`, DPoP }, badBound);
  });

  test('a proof for another URL, method or token, or none: 401 invalid_dpop_proof', async () => {
    const sibling = await client.token({ resource: ORDERS, bound: true });
    const Authorization = `DPoP ${bound}`;
    for (const { DPoP } of [
      await client.presentation(bound, `${gate.orders}/read/2`),
      await client.presentation(bound, `${gate.echo}/read/1`),
      await client.presentation(bound, url, { method: 'POST' }),
      await client.presentation(sibling, url),
    ]) await refused({ Authorization, DPoP }, badProof);
    await refused({ Authorization }, badProof);
    const { DPoP } = await client.presentation(bound, `${gate.orders}/read/1`);
    await refused({ Authorization, DPoP }, badProof, { url: `${gate.orders}/ext/read/1` });
  });

  test('an unbound token on the route that requires DPoP: 401, DPoP only', async () => {
    await refused(bearer(token), { status: 401, error: undefined, challenges: [['DPoP', undefined]] }, { url: `${gate.orders}/bound/1` });
  });

  test('two Authorization lines: 400', async () => {
    await refused(
      { Authorization: [`Bearer ${token}`, `Bearer ${token}`] },
      { status: 400, error: 'invalid_request', challenges: [['Bearer', 'invalid_request'], ['DPoP', undefined]] },
    );
  });
});

describe('replay', () => {
  test('the same proof again: 401 invalid_dpop_proof', async (t) => {
    const bound = await client.token({ resource: ORDERS, bound: true });
    const headers = await client.presentation(bound, `${gate.orders}/read/1`);
    assert.equal((await send({ url: `${gate.orders}/read/1`, headers })).status, 200);
    const answer = await refused(headers, badProof);
    t.diagnostic(answer.challenges.join(' | '));
  });

  test('100 parallel copies of one proof: exactly one 200', async (t) => {
    const bound = await client.token({ resource: ORDERS, bound: true });
    for (let round = 0; round < 3; round += 1) {
      await stage.recorder('clear');
      const headers = await client.presentation(bound, `${gate.orders}/read/1`);
      const answers = await Promise.all(Array.from({ length: 100 }, () => send({ url: `${gate.orders}/read/1`, headers })));
      const statuses = answers.reduce((n, { status }) => ({ ...n, [status]: (n[status] ?? 0) + 1 }), {});
      assert.deepEqual(statuses, { 200: 1, 401: 99 });
      assert.equal((await stage.recorder('count')).requests, 1);
      t.diagnostic(JSON.stringify(statuses));
    }
  });
});

describe('admin listener', () => {
  test('livez, readyz, metrics and version answer', async () => {
    for (const path of ['/livez', '/readyz', '/metrics', '/version']) {
      assert.equal((await gate.ask(path)).status, 200, path);
    }
    assert.match((await gate.ask('/metrics')).body, /^wicketgate_requests_total\{/m);
  });

  test('no token or proof of this run is in metrics or log', async (t) => {
    const metrics = (await gate.ask('/metrics')).body;
    assert.equal(await stage.stopGate(gate), 0, 'exit code after SIGTERM');
    const log = gate.log();
    assert.ok(log.split('\n').length > 100, 'the access log was on');
    assert.deepEqual(leaks(`${metrics}\n${log}`, secrets), []);
    assert.ok(!metrics.includes('nobody-published-this'), 'no kid of a client becomes a label');
    t.diagnostic(`${secrets.size} tokens and proofs, ${log.length} bytes of log, ${metrics.length} bytes of metrics`);
  });
});
