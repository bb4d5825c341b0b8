// A server of the Model Context Protocol that knows nothing of authorization:
// one tool, which tells who calls, by what the gate says. In a process of its
// own.

import { createServer } from 'node:http';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';

import { serveParent } from './child.js';

let requests = 0;

function newServer({ requestInfo }) {
  const server = new McpServer({ name: 'whoami', version: '1.0.0' });
  const told = [...requestInfo.headers].filter(([name]) => /^(x-auth|authorization|dpop)/.test(name));
  server.registerTool('whoami', { description: 'Tells who calls' }, () => ({
    content: [{ type: 'text', text: JSON.stringify(Object.fromEntries(told)) }],
  }));
  return server;
}

const handler = createMcpHandler(newServer, { responseMode: 'json' });

async function serve(req, res) {
  requests += 1;
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const answer = await handler.fetch(new Request(`http://127.0.0.1${req.url}`, {
    method: req.method, headers: req.headers, body: chunks.length > 0 ? Buffer.concat(chunks) : undefined,
  }));
  res.writeHead(answer.status, Object.fromEntries(answer.headers));
  res.end(Buffer.from(await answer.arrayBuffer()));
}

const server = createServer((req, res) => {
  serve(req, res).catch((error) => { res.statusCode = 500; res.end(error.stack); });
});

serveParent({
  start: () => new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', () => resolve({ port: server.address().port }));
  }),
  requests: () => requests,
});
