// Clients that know nothing but a URL, and let the gate tell them the rest: an
// MCP client that finds its way in, and one that is told to let the user
// authenticate better.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  Client as MCPClient, DpopSession, StreamableHTTPClientTransport, UnauthorizedError,
} from '@modelcontextprotocol/client';
import { decodeJwt } from 'jose';
import * as oauth from 'openid-client';

import { Browser } from './parts/browser.js';
import { startChild } from './parts/child.js';
import { bearer } from './parts/client.js';
import { leaks } from './parts/leaks.js';
import { Registrar } from './parts/pki.js';
import { secureFetch } from './parts/secure.js';
import { Stage } from './parts/stage.js';

const CALLBACK = 'http://127.0.0.1/callback';

const secrets = new Set();
let stage;
let gate;
let fetch; // trusts the authority of this run
let mcp; // the URL of the MCP server behind the gate
let strict; // likewise, where only DPoP with nonces will do
let api; // the URL of the other resource
let mcpserver;

before(async () => {
  let identity;
  let authority;
  stage = await Stage.start({
    gate: false,
    authserver: './secureserver.js',
    prepare: async ({ folder }) => {
      const registrar = await Registrar.start(folder);
      authority = registrar.authority;
      const [server, made] = await Promise.all([registrar.server('issuer'), registrar.server('gate')]);
      identity = made;
      return { cert: server.cert, key: server.key };
    },
  });
  mcpserver = startChild('./mcpserver.js');
  stage.others.push(mcpserver.process);
  const upstream = `http://127.0.0.1:${(await mcpserver('start')).port}`;
  gate = await stage.startGate(({ orders, echo, extra, admin }) => {
    mcp = `https://127.0.0.1:${orders}/mcp`;
    api = `https://127.0.0.1:${echo}`;
    strict = `https://127.0.0.1:${extra}/mcp`;
    return `
version: 1
listen: 127.0.0.1:${orders}
admin: {listen: "127.0.0.1:${admin}"}
tls: {cert_file: ${identity.certFile}, key_file: ${identity.keyFile}}
issuers:
  - {name: as, issuer: "${stage.issuer}", ca_file: ${authority.certFile}}
resources:
  - identifier: ${mcp}
    preset: mcp
    upstream: ${upstream}
    routes: [{path: /mcp, scopes: [orders.read]}]
  - identifier: ${strict}
    listen: 127.0.0.1:${extra}
    preset: mcp
    upstream: ${upstream}
    routes: [{path: /mcp, scopes: [orders.read], binding: dpop, nonce: required}]
  - identifier: ${api}
    listen: 127.0.0.1:${echo}
    metadata: true
    upstream: http://127.0.0.1:${stage.recorderPort}
    routes:
      - {path: /any, scopes: [orders.read]}
      - {path: /gold, scopes: [orders.read], acr: [gold, platinum]}
      - {path: /fresh, scopes: [orders.read], max_age: 5m}
      - {path: /both, scopes: [orders.read], acr: [gold], max_age: 5m}
log: {level: debug, access: all}
drain: {delay: 0s, timeout: 2s}
`;
  });
  for (const resource of [mcp, strict, api]) await stage.authserver('protect', { resource });
  fetch = secureFetch({ ca: authority.cert });
  await stage.ready();
});

after(() => stage?.stop());

// Memory is what an MCP application keeps, and its user's browser.
class Memory {
  #kept = {};

  redirectUrl = CALLBACK;

  clientMetadata = {
    client_name: 'loopback run',
    application_type: 'native',
    redirect_uris: [CALLBACK],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };

  constructor(session) {
    if (session) this.dpop = () => session;
  }

  clientInformation = () => this.#kept.client;

  saveClientInformation(client) { this.#kept.client = client; }

  tokens = () => this.#kept.tokens;

  saveTokens(tokens) {
    secrets.add(tokens.access_token);
    this.#kept.tokens = tokens;
  }

  codeVerifier = () => this.#kept.verifier;

  saveCodeVerifier(verifier) { this.#kept.verifier = verifier; }

  discoveryState = () => this.#kept.state;

  saveDiscoveryState(state) { this.#kept.state = state; }

  redirectToAuthorization(url) { this.asked = url; }
}

// Application is an MCP client that has only a URL. It writes down what it
// asks of whom.
class Application {
  steps = [];

  constructor(url, session) {
    this.url = new URL(url);
    this.memory = new Memory(session);
  }

  #transport() {
    return new StreamableHTTPClientTransport(this.url, {
      authProvider: this.memory,
      fetch: async (url, options) => {
        const answer = await fetch(url, options);
        const proof = new Headers(options?.headers).get('dpop');
        if (proof) secrets.add(proof);
        const { origin, pathname } = new URL(url);
        const whom = { [this.url.origin]: 'gate', [stage.issuer]: 'issuer' }[origin];
        this.steps.push(`${options?.method ?? 'GET'} ${whom}${pathname} ${answer.status}`);
        return answer;
      },
    });
  }

  // connect goes through the user's browser when the server wants a token.
  async connect() {
    const client = new MCPClient({ name: 'loopback run', version: '1.0.0' });
    const transport = this.#transport();
    await assert.rejects(client.connect(transport), UnauthorizedError);
    const back = await new Browser(fetch).visit(this.memory.asked, CALLBACK);
    this.steps.push('browser');
    await transport.finishAuth(back.searchParams.get('code'), back.searchParams.get('iss'));
    this.client = new MCPClient({ name: 'loopback run', version: '1.0.0' });
    await this.client.connect(this.#transport());
  }

  async whoami() {
    const { content } = await this.client.callTool({ name: 'whoami' });
    return JSON.parse(content[0].text);
  }
}

const document = ({ origin, pathname }) => `${origin}/.well-known/oauth-protected-resource${pathname === '/' ? '' : pathname}`;

async function refused(answer, status, error) {
  assert.equal(answer.status, status);
  const body = await answer.text();
  assert.equal(body === '' ? undefined : JSON.parse(body).error, error);
  return answer.headers.get('www-authenticate') ?? '';
}

// inOrder wants steps that each come after the one before.
function inOrder(steps, wanted) {
  let from = 0;
  for (const step of wanted) {
    const at = steps.findIndex((made, i) => i >= from && (step instanceof RegExp ? step.test(made) : step === made));
    assert.ok(at >= 0, `${step} is not in ${steps.slice(from).join(', ')}`);
    from = at + 1;
  }
}

const ping = (headers, url = mcp) => fetch(url, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', ...headers },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
});

describe('an MCP client', () => {
  let application;

  before(async () => {
    application = new Application(mcp);
  });

  test('finds its way in from the URL alone', async (t) => {
    await application.connect();
    t.diagnostic(application.steps.join(', '));
    inOrder(application.steps, [
      'POST gate/mcp 401',
      'GET gate/.well-known/oauth-protected-resource/mcp 200',
      /^GET issuer\/\.well-known\/\S+ 200$/,
      'POST issuer/reg 201',
      'browser',
      'POST issuer/token 200',
      'POST gate/mcp 200',
    ]);
  });

  test('asks for the scope and the resource that the gate named', () => {
    const { searchParams } = application.memory.asked;
    assert.equal(searchParams.get('scope'), 'orders.read');
    assert.equal(searchParams.get('resource'), mcp);
    assert.equal(decodeJwt(application.memory.tokens().access_token).aud, mcp);
  });

  test('calls a tool, which is told who calls and no more', async () => {
    const { client_id: id } = application.memory.clientInformation();
    assert.deepEqual(await application.whoami(), {
      'x-auth-subject': 'alice', 'x-auth-subject-type': 'user', 'x-auth-issuer': stage.issuer, 'x-auth-client-id': id, 'x-auth-scope': 'orders.read',
    });
  });

  test('with DPoP where the gate wants it, and nonces of both servers', async (t) => {
    const bound = new Application(strict, await DpopSession.create());
    await bound.connect();
    t.diagnostic(bound.steps.join(', '));
    inOrder(bound.steps, ['browser', 'POST issuer/token 400', 'POST issuer/token 200', 'POST gate/mcp 401', 'POST gate/mcp 200']);
    assert.equal((await bound.whoami())['x-auth-binding'], 'dpop');
    assert.deepEqual(Object.keys(decodeJwt(bound.memory.tokens().access_token).cnf), ['jkt']);
  });

  test('gets nowhere at another resource, without the header, or as a foreign page', async () => {
    const requests = await mcpserver('requests');
    const { access_token: token } = application.memory.tokens();
    const challenge = await refused(await ping(bearer(token), `${api}/any`), 401, 'invalid_token');
    assert.ok(challenge.includes(`resource_metadata="${document(new URL(api))}"`), challenge);
    await refused(await ping(bearer(token), strict), 401, undefined);
    await refused(await ping({}, `${mcp}?access_token=${token}`), 401, undefined);
    await refused(await ping({ 'Mcp-Session-Id': '1' }), 401, undefined);
    assert.equal((await ping({ ...bearer(token), Origin: 'https://evil.example.com' })).status, 403);
    assert.equal(await mcpserver('requests'), requests);
    assert.equal((await ping(bearer(token))).status, 200, 'the request is a good one otherwise');
  });
});

describe('step-up', () => {
  let configuration;
  let browser;
  let token; // of a user who signed in with a password ten minutes ago

  // signIn gets a token by the user's browser. demand is what a challenge asked for.
  async function signIn(demand = {}, options = {}) {
    const verifier = oauth.randomPKCECodeVerifier();
    const url = oauth.buildAuthorizationUrl(configuration, {
      redirect_uri: CALLBACK,
      resource: api,
      scope: 'openid orders.read', // acr_values and max_age are of OpenID Connect
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      ...demand,
    });
    const back = await browser.visit(url, CALLBACK);
    const answer = await oauth.authorizationCodeGrant(configuration, back, { pkceCodeVerifier: verifier, idTokenExpected: true }, { resource: api }, options);
    secrets.add(answer.access_token);
    return answer.access_token;
  }

  // visit returns the status of a route, and the challenge of the scheme that was
  // used, as the library read it.
  async function visit(path, credential, options = {}) {
    try {
      const answer = await oauth.fetchProtectedResource(configuration, credential, new URL(api + path), 'GET', undefined, undefined, options);
      return { status: answer.status };
    } catch (error) {
      assert.ok(error instanceof oauth.WWWAuthenticateChallengeError, `${error}`);
      const used = options.DPoP ? 'dpop' : 'bearer';
      return { status: error.status, parameters: error.cause.find(({ scheme }) => scheme === used).parameters };
    }
  }

  before(async () => {
    browser = new Browser(fetch);
    configuration = await oauth.dynamicClientRegistration(
      new URL(stage.issuer),
      {
        application_type: 'native',
        redirect_uris: [CALLBACK],
        grant_types: ['authorization_code'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
        scope: 'openid orders.read',
      },
      oauth.None(),
      { [oauth.customFetch]: fetch },
    );
    token = await signIn();
  });

  test('the token says how and when the user was authenticated', () => {
    const { acr, auth_time: time } = decodeJwt(token);
    assert.equal(acr, 'silver');
    assert.ok(Date.now() / 1000 - time >= 600);
  });

  test('good where nothing more is asked for', async () => {
    assert.deepEqual(await visit('/any', token), { status: 200 });
  });

  for (const [path, demand] of Object.entries({
    '/gold': { acr_values: 'gold platinum' },
    '/fresh': { max_age: '300' },
    '/both': { acr_values: 'gold', max_age: '300' },
  })) {
    test(`${path}: 401 with ${Object.keys(demand).join(' and ')}, and 200 once the user has done that`, async () => {
      await stage.recorder('clear');
      const { status, parameters } = await visit(path, token);
      assert.equal(status, 401);
      const { error, acr_values, max_age, resource_metadata } = parameters;
      assert.equal(error, 'insufficient_user_authentication');
      assert.deepEqual(JSON.parse(JSON.stringify({ acr_values, max_age })), demand);
      assert.equal(resource_metadata, document(new URL(api)));
      assert.equal((await stage.recorder('count')).requests, 0);
      const better = await signIn({ ...demand, ...(demand.max_age ? {} : { prompt: 'login' }) });
      assert.deepEqual(await visit(path, better), { status: 200 });
      assert.equal((await stage.recorder('count')).requests, 1);
    });
  }

  test('likewise with DPoP', async () => {
    const options = { DPoP: oauth.getDPoPHandle(configuration, await oauth.randomDPoPKeyPair('ES256')) };
    browser = new Browser(fetch); // in which nobody has signed in yet
    const bound = await signIn({}, options);
    const { status, parameters } = await visit('/both', bound, options);
    assert.equal(status, 401);
    const { error, acr_values, max_age, algs } = parameters;
    assert.deepEqual({ error, acr_values, max_age }, { error: 'insufficient_user_authentication', acr_values: 'gold', max_age: '300' });
    assert.match(algs, /\bES256\b/);
    assert.deepEqual(await visit('/both', await signIn({ acr_values, max_age }, options), options), { status: 200 });
  });

  test('what the gate would ask for is told of no token that is not valid', async () => {
    const { status, parameters } = await visit('/both', token.replace(/\.[^.]*$/, '.AAAA'));
    assert.equal(status, 401);
    assert.equal(parameters.error, 'invalid_token');
    assert.ok(!('acr_values' in parameters || 'max_age' in parameters));
  });
});

test('no token or proof of this run is in metrics or log', async () => {
  const { body } = await gate.ask('/metrics');
  assert.equal(await stage.stopGate(gate), 0, 'exit code after SIGTERM');
  assert.ok(secrets.size > 5);
  assert.deepEqual(leaks(`${body}\n${gate.log()}`, secrets), []);
});
