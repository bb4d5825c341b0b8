// Starts and stops the parts of one run: authorization server, recorder, nginx
// and the gate, on loopback ports nobody else has.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { ended, startChild } from './child.js';
import { send } from './http.js';
import { ECHO, ORDERS } from './names.js';

const { WICKETGATE, E2E_TMP, NGINX = 'nginx' } = process.env;

// freePorts holds all ports at once, so that they differ.
export async function freePorts(n) {
  const servers = await Promise.all(Array.from({ length: n }, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  }));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => { server.close(resolve); })));
  return ports;
}

// until waits for probe to return something true, and returns that.
export async function until(what, probe, milliseconds = 10_000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await probe().catch(() => undefined);
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${milliseconds} ms`);
    await sleep(50);
  }
}

// listening waits until somebody listens on a port.
export function listening(what, port) {
  return until(what, () => new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
    socket.once('error', reject);
  }));
}

// launch starts a process that run.sh ends when we do not get to it.
export function launch(folder, name, command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const pidFile = join(E2E_TMP, `${child.pid}.pid`);
  writeFileSync(pidFile, `${child.pid}\n`);
  child.logFile = join(folder, `${name}.log`);
  const log = createWriteStream(child.logFile);
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  child.logged = new Promise((resolve) => {
    child.once('close', () => log.end(resolve));
  });
  child.once('exit', () => rmSync(pidFile, { force: true }));
  return child;
}

export class Stage {
  folder = mkdtempSync(join(E2E_TMP, 'stage-'));
  gates = [];

  others = [];

  // start brings up everything. The gate is left out with gate: false.
  // prepare returns what the authorization server starts with.
  static async start({ gate = true, authserver = './authserver.js', prepare = async () => ({}) } = {}) {
    const stage = new Stage();
    try {
      const options = await prepare(stage);
      stage.authserver = startChild(authserver);
      stage.recorder = startChild('./recorder.js');
      const [{ issuer }, { port }] = await Promise.all([stage.authserver('start', options), stage.recorder('start')]);
      stage.issuer = issuer;
      stage.recorderPort = port;
      await stage.startNginx();
      if (gate) await stage.startGate();
    } catch (error) {
      await stage.stop();
      throw error;
    }
    return stage;
  }

  async startNginx() {
    [this.nginxPort] = await freePorts(1);
    const echo = Object.fromEntries([
      'x_auth_subject', 'x_auth_subject_type', 'x_auth_issuer', 'x_auth_client_id', 'x_auth_scope',
      'x_auth_binding', 'authorization', 'dpop', 'host', 'via',
    ].map((name) => [name, `$http_${name}`]));
    this.runNginx('nginx', `
  underscores_in_headers on;
  server {
    listen 127.0.0.1:${this.nginxPort};
    default_type application/json;
    location / { return 200 '${JSON.stringify(echo)}'; }
  }`);
    await until('nginx', () => send({ port: this.nginxPort, path: '/' }));
  }

  // runNginx runs an nginx with what is to stand between the braces of http.
  runNginx(name, http) {
    const folder = join(this.folder, name);
    mkdirSync(folder);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((kind) => `  ${kind}_temp_path ${folder}/${kind};`).join('\n');
    writeFileSync(join(folder, 'nginx.conf'), `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
${temporary}
${http}
}
`);
    this.run(name, NGINX, ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')]);
  }

  // run starts a program that ends with the stage.
  run(name, command, args) {
    this.others.push(launch(this.folder, name, command, args));
  }

  configuration({ orders, echo, admin }) {
    return `
version: 1
listen: 127.0.0.1:${orders}
admin: {listen: "127.0.0.1:${admin}"}
issuers:
  - name: as
    issuer: ${this.issuer}
    refetch_interval: 1s
resources:
  - identifier: ${ORDERS}
    public_origins: ["http://127.0.0.1:${orders}"]
    upstream: http://127.0.0.1:${this.recorderPort}
    routes:
      - {name: read, path: /read/**, methods: [GET], scopes: [orders.read]}
      - {name: write, path: /write, methods: [POST], scopes: [orders.write]}
      - {name: bound, path: /bound/**, scopes: [orders.read], binding: dpop}
      - {name: ext, path: /ext/**, scopes: [orders.read], strip_prefix: /ext}
      - {name: open, path: /open, public: true}
      - {name: maybe, path: /maybe, optional: true}
  - identifier: ${ECHO}
    public_origins: ["http://127.0.0.1:${echo}"]
    listen: 127.0.0.1:${echo}
    upstream: http://127.0.0.1:${this.nginxPort}
log: {level: debug, access: all}
drain: {delay: 0s, timeout: 2s}
`;
  }

  // startGate returns once it listens, whether or not it is ready. write makes
  // its configuration.
  async startGate(write = (ports) => this.configuration(ports)) {
    const [orders, echo, extra, admin] = await freePorts(4);
    const file = join(this.folder, `gate-${this.gates.length}.yaml`);
    const transport = process.env.WICKETGATE_TEST_TRANSPORT; // the same tests, another transport
    writeFileSync(file, write({ orders, echo, extra, admin }) + (transport ? `\nupstream_transport: ${transport}\n` : ''));
    const child = launch(this.folder, `gate-${this.gates.length}`, WICKETGATE, ['serve', '--config', file]);
    const gate = {
      child,
      admin,
      port: orders,
      orders: `http://127.0.0.1:${orders}`,
      echo: `http://127.0.0.1:${echo}`,
      log: () => readFileSync(child.logFile, 'utf8'),
      ask: (path) => send({ port: admin, path }),
    };
    this.gates.push(gate);
    await until('gate', async () => {
      if (child.exitCode !== null) return true;
      return (await gate.ask('/livez')).status === 200;
    });
    if (child.exitCode !== null) throw new Error(`the gate ended with ${child.exitCode}:\n${gate.log()}`);
    this.gate ??= gate;
    return gate;
  }

  // ready waits for readyz.
  async ready(gate = this.gate) {
    await until('readyz', async () => (await gate.ask('/readyz')).status === 200, 15_000);
  }

  // stopGate ends a gate and waits for the last line of its log.
  async stopGate(gate) {
    gate.child.kill('SIGTERM');
    await ended(gate.child, 5000);
    await gate.child.logged;
    return gate.child.exitCode;
  }

  async stop() {
    await Promise.all(this.gates.map((gate) => this.stopGate(gate)));
    const others = [...this.others, this.authserver?.process, this.recorder?.process].filter(Boolean);
    await Promise.all(others.map((child) => {
      child.kill('SIGTERM');
      return ended(child, 3000);
    }));
  }
}
