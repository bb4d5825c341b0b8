// The authorization server is away: known keys go on, nothing is refused for
// it, and the gate recovers by itself.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Client, bearer } from './parts/client.js';
import { send } from './parts/http.js';
import { leaks } from './parts/leaks.js';
import { ORDERS } from './parts/names.js';
import { Stage, until } from './parts/stage.js';

const secrets = new Set();
let stage;
let client;

before(async () => {
  stage = await Stage.start();
  await stage.ready();
  client = await Client.discover(stage.issuer, 'ES256', secrets);
});

after(() => stage?.stop());

const read = (gate, headers) => send({ url: `${gate.orders}/read/1`, headers });

const readBound = async (gate, token) => read(gate, await client.presentation(token, `${gate.orders}/read/1`));

// undecided is the answer when the gate cannot tell.
function undecided(answer) {
  assert.equal(answer.status, 503);
  assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
  assert.deepEqual(answer.challenges, []);
  assert.equal(JSON.parse(answer.body).error, 'temporarily_unavailable');
}

test('issuer stopped: known keys 200, a key not fetched 503, and it recovers', async (t) => {
  const { gate } = stage;
  const token = await client.token({ resource: ORDERS });
  const bound = await client.token({ resource: ORDERS, bound: true });
  assert.equal((await read(gate, bearer(token))).status, 200);

  await stage.authserver('rotate', { overlap: true });
  const later = await client.token({ resource: ORDERS });
  await stage.authserver('stop');

  const unseen = await client.presentation(bound, `${gate.orders}/read/1`);
  await stage.recorder('clear');
  undecided(await read(gate, bearer(later)));
  assert.equal((await stage.recorder('count')).requests, 0);
  for (let i = 0; i < 5; i += 1) {
    assert.equal((await read(gate, bearer(token))).status, 200, 'bearer');
    assert.equal((await readBound(gate, bound)).status, 200, 'dpop');
  }
  assert.equal((await read(gate, unseen)).status, 200);
  assert.equal((await read(gate, unseen)).status, 401, 'a replay is refused all the same');
  assert.equal((await read(gate, bearer('garbage'))).status, 401);
  assert.equal((await gate.ask('/livez')).status, 200);
  assert.equal((await gate.ask('/readyz')).status, 200);

  await stage.authserver('start');
  let waited = 0;
  await until('the new key', async () => {
    const answer = await read(gate, bearer(later));
    if (answer.status === 200) return true;
    undecided(answer);
    waited += 1;
    return false;
  });
  assert.equal((await read(gate, bearer(token))).status, 200, 'the old key is still published');
  t.diagnostic(`recovered after ${waited} more answers of 503`);
});

test('gate started before the issuer: alive, not ready, 503, then 200', async (t) => {
  const token = await client.token({ resource: ORDERS });
  await stage.authserver('stop');
  const gate = await stage.startGate();
  assert.equal((await gate.ask('/livez')).status, 200);
  assert.equal((await gate.ask('/readyz')).status, 503);
  await stage.recorder('clear');
  undecided(await read(gate, bearer(token)));
  assert.equal((await stage.recorder('count')).requests, 0);
  assert.equal((await send({ url: `${gate.orders}/open` })).status, 200, 'a public route needs no keys');
  assert.equal((await read(gate, {})).status, 401, 'no token is no question of keys');

  await stage.authserver('start');
  const began = performance.now();
  await stage.ready(gate);
  assert.equal((await read(gate, bearer(token))).status, 200);
  t.diagnostic(`ready ${Math.round(performance.now() - began)} ms after the issuer`);
});

test('no token or proof of this run is in metrics or log', async (t) => {
  for (const gate of stage.gates) {
    const metrics = (await gate.ask('/metrics')).body;
    assert.equal(await stage.stopGate(gate), 0, 'exit code after SIGTERM');
    const log = gate.log();
    assert.deepEqual(leaks(`${metrics}\n${log}`, secrets), []);
    t.diagnostic(`${secrets.size} tokens and proofs, ${log.length} bytes of log, ${metrics.length} bytes of metrics`);
  }
});
