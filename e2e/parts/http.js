// A plain HTTP client that keeps repeated header lines apart, unlike fetch.

import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

// send makes one request on loopback. The answer has status, headers,
// challenges (one per WWW-Authenticate line) and body.
export function send({ url, port, path, method = 'GET', headers = {}, body }) {
  const target = url ? new URL(url) : { port, pathname: path, search: '' };
  return new Promise((resolve, reject) => {
    const req = request({
      host: '127.0.0.1', port: target.port, path: target.pathname + target.search, method, headers, agent, timeout: 10_000,
    }, (res) => {
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const challenges = [];
        for (let i = 0; i < res.rawHeaders.length; i += 2) {
          if (res.rawHeaders[i].toLowerCase() === 'www-authenticate') challenges.push(res.rawHeaders[i + 1]);
        }
        resolve({ status: res.statusCode, headers: res.headers, challenges, body: Buffer.concat(chunks).toString() });
      });
    });
    req.on('timeout', () => req.destroy(new Error('no answer within 10 s')));
    req.on('error', reject);
    req.end(body);
  });
}
