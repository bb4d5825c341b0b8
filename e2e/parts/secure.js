// HTTPS with client certificates, which the fetch of Node cannot do, and curl.

import { execFile } from 'node:child_process';
import { Agent, request } from 'node:https';

const BODILESS = [204, 205, 304];

// secureFetch returns a fetch that trusts ca, and shows the certificate of
// identity to whoever asks for one. Redirects are not followed.
export function secureFetch({ ca, identity }) {
  const agent = new Agent({ ca, cert: identity?.cert, key: identity?.key, keepAlive: true });
  return (url, options) => (`${url}`.startsWith('http:')
    ? fetch(url, { ...options, redirect: 'manual' })
    : exchange(url, { ...options, agent }));
}

function exchange(url, { method = 'GET', headers = {}, body, agent }) {
  return new Promise((resolve, reject) => {
    const req = request(url, { method, headers: Object.fromEntries(new Headers(headers)), agent, timeout: 10_000 }, (res) => {
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const fields = new Headers();
        for (let i = 0; i < res.rawHeaders.length; i += 2) fields.append(res.rawHeaders[i], res.rawHeaders[i + 1]);
        const content = BODILESS.includes(res.statusCode) ? null : Buffer.concat(chunks);
        resolve(new Response(content, { status: res.statusCode, headers: fields }));
      });
    });
    req.on('timeout', () => req.destroy(new Error('no answer within 10 s')));
    req.on('error', reject);
    req.end(body === undefined || body === null ? undefined : `${body}`);
  });
}

// curl asks for url, and returns status, version (of HTTP) and body. Headers
// come on standard input, where the list of processes does not show them.
export function curl(url, { caFile, identity, headers = {} }) {
  const lines = Object.entries(headers).map(([name, value]) => `header = "${name}: ${value}"\n`);
  const certificate = identity ? ['--cert', identity.certFile, '--key', identity.keyFile] : [];
  return new Promise((resolve, reject) => {
    const child = execFile(
      'curl',
      ['--disable', '--silent', '--show-error', '--max-time', '10', '--config', '-', '--cacert', caFile, ...certificate,
        '--write-out', '\n%{http_code} %{http_version}', url],
      (error, output) => {
        if (error) return reject(error);
        const end = output.lastIndexOf('\n');
        const [status, version] = output.slice(end + 1).split(' ');
        return resolve({ status: Number(status), version, body: output.slice(0, end) });
      },
    );
    child.stdin.end(lines.join(''));
  });
}
