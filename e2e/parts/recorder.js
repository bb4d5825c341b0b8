// An upstream that remembers every request it sees, in a process of its own.

import { createServer } from 'node:http';

import { serveParent } from './child.js';

let seen = [];
let connections = 0;

const server = createServer((req, res) => {
  // Pairs of name and value in the order and spelling of the wire: an object
  // of headers would hide duplicates and near-duplicates.
  const fields = [];
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    fields.push([req.rawHeaders[i], req.rawHeaders[i + 1]]);
  }
  const request = { method: req.method, target: req.url, fields };
  seen.push(request);
  req.resume();
  res.setHeader('Content-Type', 'application/json');
  res.end(JSON.stringify(request));
});
server.keepAliveTimeout = 60_000;
server.on('connection', () => { connections += 1; });

serveParent({
  start: () => new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', () => resolve({ port: server.address().port }));
  }),
  // count is of requests since the last clear, connections of all time.
  count: () => ({ requests: seen.length, connections }),
  seen: () => seen,
  clear: () => { seen = []; },
});
