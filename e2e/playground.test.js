// The page of the demo: its own script makes tokens, proofs and requests for a
// running demo, and the lines it writes for a shell do the same there.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { launch, until } from './parts/stage.js';

const run = promisify(execFile);
const { WICKETGATE, E2E_TMP } = process.env;

let demo;
let origin;
let settings;
let keys;
let page; // what the script has, less what needs a document

const inside = (text, opening, closing) => text.split(opening, 2)[1].split(closing, 1)[0];

before(async () => {
  const free = ['listen', 'admin', 'issuer', 'api'].flatMap((name) => [`--${name}`, '127.0.0.1:0']);
  demo = launch(mkdtempSync(join(E2E_TMP, 'demo-')), 'demo', WICKETGATE, ['demo', ...free]);
  const printed = await until('demo', async () => {
    const text = readFileSync(demo.logFile, 'utf8');
    return text.includes('Ctrl-C ends it.') && text;
  });
  const address = new URL(/^In a browser: (\S+)$/m.exec(printed)[1]);
  origin = address.origin;
  const answer = await fetch(address);
  assert.equal(answer.status, 200);
  const text = await answer.text();
  const script = inside(text, '<script>', '</script>');
  const hash = createHash('sha256').update(script).digest('base64');
  assert.ok(answer.headers.get('content-security-policy').includes(`script-src 'sha256-${hash}';`), 'a browser would not run the script');
  settings = JSON.parse(inside(text, '<script type="application/json" id="settings">', '</script>'));
  page = new Function(`${script}\nreturn { newKey, makeProof, prepare, send, decided, shell, challenges, decode };`)();
  keys = { client: await page.newKey(), thief: await page.newKey() };
});

after(async () => {
  if (demo?.exitCode !== null) return;
  demo.kill('SIGTERM');
  const [code] = await once(demo, 'exit');
  assert.equal(code, 0);
});

const choice = (over) => ({ token: 'good', how: 'bearer', method: 'GET', path: '/orders/1', forged: false, ...over });

// inShell runs the lines of a choice, and returns the statuses that curl prints.
async function inShell(lines) {
  const home = mkdtempSync(join(E2E_TMP, 'shell-'));
  const { stdout } = await run('sh', ['-euc', lines], { env: { ...process.env, HOME: home, XDG_CACHE_HOME: home, TMPDIR: home } });
  return [...stdout.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
}

// status, and what the page must say of the check that decided.
const verdicts = [
  [{ token: 'none' }, 401, '“token present”'],
  [{}, 200, 'Every check passed'],
  [{ token: 'scope' }, 403, '“scope” decided: the access token\'s scope does not suffice (RFC 6750 section 3.1)'],
  [{ token: 'expired' }, 401, '“expiry” decided: the access token has expired (RFC 7519 section 4.1.4)'],
  [{ token: 'audience' }, 401, '“audience” decided'],
  [{ token: 'tampered' }, 401, '“signature”'],
  [{ how: 'dpop' }, 200, 'Every check passed'],
  [{ how: 'dpop', token: 'scope' }, 403, '“scope” decided'],
  [{ how: 'dpop', token: 'expired' }, 401, '“expiry” decided'],
  [{ how: 'dpop', token: 'audience' }, 401, '“audience” decided'],
  [{ how: 'dpop', token: 'tampered' }, 401, '“signature”'],
  [{ how: 'thief' }, 401, '“proof key” decided'],
  [{ forged: true }, 200, 'Every check passed'],
  [{ how: 'dpop', method: 'POST' }, 200, 'Every check passed'],
  [{ how: 'dpop', method: 'DELETE', token: 'scope' }, 403, '“scope” decided'],
  [{ path: '/payments/1' }, 401, 'in a scheme that this route takes'],
  [{ path: '/payments/1', how: 'dpop', method: 'POST' }, 200, 'Every check passed'],
  [{ path: '/healthz', token: 'expired', forged: true }, 200, 'This route is public'],
  [{ path: '/nowhere' }, 404, '“route” decided'],
];

describe('a request of the page', () => {
  for (const [over, status, says] of verdicts) {
    test(JSON.stringify(over), async () => {
      const chosen = choice(over);
      const request = await page.prepare(chosen, settings, origin, keys);
      const answer = await page.send(request);
      const sentence = page.decided(answer, request, settings);
      assert.equal(answer.status, status, sentence);
      assert.ok(sentence.includes(says), sentence);
      assert.notEqual(answer.seen?.headers['X-Auth-Subject'], 'admin');
      assert.equal(answer.seen?.headers['X-Auth-Binding'], status === 200 && chosen.how === 'dpop' ? 'dpop' : undefined);
      if (status === 401 || status === 403) assert.deepEqual(answer.challenges.map((one) => one.split(' ')[0]), chosen.path === '/payments/1' ? ['DPoP'] : ['Bearer', 'DPoP']);
      assert.deepEqual(await inShell(page.shell(chosen, settings, origin)), [status]);
    });
  }
});

test('the same proof again', async () => {
  const chosen = choice({ how: 'dpop' });
  const request = await page.prepare(chosen, settings, origin, keys);
  assert.equal((await page.send(request)).status, 200);
  for (let i = 0; i < 2; i++) {
    const answer = await page.send(request);
    assert.equal(answer.status, 401);
    assert.match(page.decided(answer, request, settings), /“proof used once” decided: the DPoP proof was used before \(RFC 9449 section 11\.1\)/);
  }
  assert.deepEqual(await inShell(page.shell(chosen, settings, origin, 3)), [200, 401, 401]);
});

test('a proof is for its request alone', async () => {
  const request = await page.prepare(choice({ how: 'dpop' }), settings, origin, keys);
  for (const [difference, check] of [
    [{ method: 'HEAD' }, 'proof method'],
    [{ url: `${origin}/orders/2` }, 'proof target'],
    [{ token: `${request.token}x` }, 'proof token hash'],
  ]) {
    const other = { ...request, headers: { ...request.headers, DPoP: await page.makeProof(keys.client, { ...request, ...difference }) } };
    const answer = await page.send(other);
    assert.equal(answer.status, 401);
    assert.ok(page.decided(answer, other, settings).includes(`“${check}”`), page.decided(answer, other, settings));
  }
});

test('the private key cannot be read', async () => {
  assert.equal(keys.client.sign.extractable, false);
  await assert.rejects(crypto.subtle.exportKey('jwk', keys.client.sign));
  const [head] = page.decode(await page.makeProof(keys.client, { method: 'GET', url: origin })).split('\n.\n');
  assert.deepEqual(Object.keys(JSON.parse(head).jwk), ['kty', 'crv', 'x', 'y']);
});

test('joined challenges are taken apart', () => {
  for (const [joined, want] of [
    [null, []],
    ['Bearer', ['Bearer']],
    ['Bearer, DPoP algs="ES256 EdDSA"', ['Bearer', 'DPoP algs="ES256 EdDSA"']],
    ['Bearer error="x", error_description="a, DPoP b=\\"c\\"", scope="d", DPoP algs="ES256"', ['Bearer error="x", error_description="a, DPoP b=\\"c\\"", scope="d"', 'DPoP algs="ES256"']],
  ]) assert.deepEqual(page.challenges(joined), want);
});
