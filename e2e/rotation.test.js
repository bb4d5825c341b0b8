// The authorization server changes its keys again and again while the gate is
// under load, and every verdict is known before the request is sent.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client, Forger, bearer } from './parts/client.js';
import { leaks } from './parts/leaks.js';
import { Load } from './parts/load.js';
import { ALGORITHMS, ELSEWHERE, ORDERS } from './parts/names.js';
import { Stage, until } from './parts/stage.js';

const RATE = 300; // requests a second
const REFETCH = 1000; // ms: refetch_interval of the gate

const secrets = new Set();
const clients = {};
let stage;
let url;
let forger;
let now; // the tokens of the generation in office
let load;

before(async () => {
  stage = await Stage.start();
  await stage.ready();
  url = `${stage.gate.orders}/read/1`;
  forger = await Forger.create(secrets);
  for (const alg of ALGORITHMS) clients[alg] = await Client.discover(stage.issuer, alg, secrets);
});

afterEach(() => load?.stop()); // also when a test failed half-way

after(() => stage?.stop());

const pick = (list) => list[Math.floor(Math.random() * list.length)];

// inOffice gets tokens signed by the keys the authorization server has now.
async function inOffice() {
  const tokens = { bearer: {}, bound: {}, used: {}, withdrawn: undefined };
  for (const alg of ALGORITHMS) {
    tokens.bearer[alg] = await clients[alg].token({ resource: ORDERS });
    tokens.bound[alg] = await clients[alg].token({ resource: ORDERS, bound: true });
  }
  tokens.elsewhere = await clients.ES256.token({ resource: ELSEWHERE });
  tokens.forged = await forger.copy(tokens.bearer.ES256);
  return tokens;
}

const is = (status, error) => (answer) => answer.status === status && (!error || answer.challenges.some((c) => c.includes(`error="${error}"`)));

// right says which answer a good token must get: 200 until its keys are
// withdrawn, 401 once the gate has them no more. Those that cross the switch may
// get either, and are counted.
const right = (tokens) => (answer, sentAt) => {
  const { withdrawn } = tokens;
  if (!withdrawn || performance.now() <= withdrawn.from) return answer.status === 200;
  if (sentAt >= withdrawn.to) return is(401, 'invalid_token')(answer);
  load.crossed += 1;
  return answer.status === 200 || is(401, 'invalid_token')(answer);
};

const good = (tokens, alg, kind = 'good bearer') => ({ kind, url, headers: bearer(tokens.bearer[alg]), expect: right(tokens) });

async function bound(tokens, alg, kind = 'good dpop') {
  const headers = await clients[alg].presentation(tokens.bound[alg], url);
  const expect = right(tokens);
  return {
    kind,
    url,
    headers,
    expect: (answer, sentAt) => {
      if (answer.status === 200) tokens.used = headers;
      return expect(answer, sentAt);
    },
  };
}

// mix is what a hundred requests are made of. None of them has a kid that was
// never published, so none makes the gate ask for keys.
function mix(n) {
  const tokens = now;
  const alg = pick(ALGORITHMS);
  const place = n % 100;
  if (place < 50) return good(tokens, alg);
  if (place < 70) return bound(tokens, alg);
  if (place < 80) return { kind: 'garbage', url, headers: bearer(`garbage-${n}`), expect: is(401, 'invalid_token') };
  if (place < 88) return { kind: 'foreign key, published kid', url, headers: bearer(tokens.forged), expect: is(401, 'invalid_token') };
  if (place < 93) return { kind: 'wrong audience', url, headers: bearer(tokens.elsewhere), expect: is(401, 'invalid_token') };
  if (place < 97 && tokens.used.DPoP) {
    // Its token may be withdrawn at any moment: then that is the complaint.
    return { kind: 'used proof', url, headers: tokens.used, expect: (answer) => is(401)(answer) };
  }
  return { kind: 'no token', url, headers: {}, expect: is(401) };
}

const foreign = async (kind = 'foreign key, unknown kid') => ({
  kind, url, headers: bearer(await forger.copy(now.bearer.ES256, { kid: crypto.randomUUID() })), expect: is(401, 'invalid_token'),
});

// beside sends requests besides the mix for some time, one every few ms.
async function beside(milliseconds, makers) {
  const end = performance.now() + milliseconds;
  for (let i = 0; performance.now() < end; i += 1) {
    load.go(makers[i % makers.length]()).catch(() => {}); // the load remembers it
    await sleep(5);
  }
}

function tally(t) {
  for (const [key, n] of Object.entries(load.counts).sort()) t.diagnostic(`${String(n).padStart(6)}  ${key}`);
}

test('20 rotations under load: the first token of a new key is 200, a withdrawn key is 401, no verdict is wrong', async (t) => {
  await stage.recorder('clear');
  now = await inOffice();
  load = new Load({ rate: RATE, most: 30_000, mix });
  load.start();
  const fetched = await stage.authserver('fetches');
  let previous = now;
  for (let rotation = 1; rotation <= 20; rotation += 1) {
    const overlap = rotation % 2 === 0;
    const enough = load.judged + 300;
    await until('requests between rotations', async () => load.judged >= enough, 20_000);

    const old = [now, ...(overlap ? [] : [previous])];
    await stage.authserver('rotate', { overlap });
    const next = await inOffice();
    const sent = performance.now();
    if (!overlap) for (const tokens of old) tokens.withdrawn ??= { from: sent, to: Infinity };
    const fetches = await stage.authserver('fetches');
    // All of them at once: whichever comes first makes the gate fetch.
    const first = await Promise.all(ALGORITHMS.flatMap((alg) => [
      load.go(good(next, alg, 'first of a new key, bearer')),
      load.go(bound(next, alg, 'first of a new key, dpop')),
    ]));
    const seen = performance.now();
    assert.ok(first.every(({ status }) => status === 200), `rotation ${rotation}: ${first.map((a) => a.status)}`);
    const asked = await stage.authserver('fetches') - fetches;
    assert.ok(asked >= 1 && asked <= 1 + Math.floor((performance.now() - sent) / REFETCH), `rotation ${rotation}: one fetch for all, and never more than one an interval`);
    if (!overlap) for (const tokens of old) tokens.withdrawn.to = Math.min(tokens.withdrawn.to, seen);
    previous = now;
    now = next;

    const word = overlap ? 'kept for overlap' : 'withdrawn';
    await beside(250, [
      () => good(old[0], pick(ALGORITHMS), `old key ${word}, bearer`),
      () => bound(old[0], pick(ALGORITHMS), `old key ${word}, dpop`),
      foreign,
    ]);
    // Unknown kids may have made the gate fetch again just now, and it asks
    // once per interval only: the next new key would have to wait.
    await load.settled();
    await sleep(REFETCH + 100);
  }
  const { requests, perSecond } = await load.stop();
  tally(t);
  t.diagnostic(`20 rotations, ${requests} requests, about ${perSecond} a second, ${await stage.authserver('fetches') - fetched} fetches of the key set, ${load.crossed} requests crossed a withdrawal, ${load.wrong.length} wrong verdicts`);
  assert.deepEqual(load.wrong.slice(0, 5), []);
  assert.equal((await stage.recorder('count')).requests, load.allowed, 'each 200 reached the upstream once, nothing else did');
});

test('5 rotations under a flood of unknown kids: a new key may wait behind 503 with Retry-After, never behind 401', async (t) => {
  await stage.recorder('clear');
  // Every tenth request has a kid nobody published.
  load = new Load({ rate: RATE, most: 10_000, mix: (n) => (n % 10 === 5 ? foreign() : mix(n)) });
  load.start();
  for (let rotation = 1; rotation <= 5; rotation += 1) {
    await sleep(1500);
    const old = now;
    old.withdrawn = { from: performance.now(), to: Infinity };
    await stage.authserver('rotate', { overlap: false });
    const next = await inOffice();
    const alg = pick(ALGORITHMS);
    const probe = { ...good(next, alg, 'new key, not fetched yet'), expect: (a) => a.status === 200 || (a.status === 503 && /^[1-9]\d*$/.test(a.headers['retry-after'])) };
    await until('the new key', async () => (await load.go(probe)).status === 200, 5000);
    old.withdrawn.to = performance.now();
    now = next;
    await beside(300, [() => good(old, pick(ALGORITHMS), 'old key withdrawn, bearer')]);
  }
  const { requests } = await load.stop();
  tally(t);
  t.diagnostic(`5 rotations, ${requests} requests, ${load.counts['new key, not fetched yet 503'] ?? 0} answers of 503, ${load.crossed} requests crossed a withdrawal, ${load.wrong.length} wrong verdicts`);
  assert.deepEqual(load.wrong.slice(0, 5), []);
  assert.equal((await stage.recorder('count')).requests, load.allowed, 'each 200 reached the upstream once, nothing else did');
});

test('no token or proof of this run is in metrics or log', async (t) => {
  const metrics = (await stage.gate.ask('/metrics')).body;
  assert.equal(await stage.stopGate(stage.gate), 0, 'exit code after SIGTERM');
  const log = stage.gate.log();
  assert.ok(log.split('\n').length > 5000, 'the access log was on');
  assert.deepEqual(leaks(`${metrics}\n${log}`, secrets).slice(0, 5), []);
  t.diagnostic(`${secrets.size} tokens and proofs, ${log.length} bytes of log, ${metrics.length} bytes of metrics`);
});
