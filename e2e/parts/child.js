// How a part in a process of its own is asked for things. It ends with its
// parent.

import { fork } from 'node:child_process';
import { once } from 'node:events';

// serveParent answers the parent's calls with operations.
export function serveParent(operations) {
  process.on('message', async ({ id, name, argument }) => {
    try {
      process.send({ id, value: await operations[name](argument ?? {}) });
    } catch (error) {
      process.send({ id, error: error.stack });
    }
  });
  process.on('disconnect', () => process.exit(0));
}

// startChild returns a function that calls an operation of the child, and has
// a property process.
export function startChild(file) {
  const child = fork(new URL(file, import.meta.url), {
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
  });
  const waiting = new Map();
  let last = 0;
  let complaints = '';
  child.stderr.on('data', (text) => { complaints = (complaints + text).slice(-4000); });
  child.on('message', ({ id, value, error }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(value);
  });
  child.on('exit', (code) => {
    for (const { reject } of waiting.values()) {
      reject(new Error(`${file} ended with ${code}: ${complaints}`));
    }
  });
  const call = (name, argument) => new Promise((resolve, reject) => {
    waiting.set(last += 1, { resolve, reject });
    child.send({ id: last, name, argument });
  });
  call.process = child;
  return call;
}

// ended waits for a process to end, and kills it when that takes too long.
export async function ended(child, milliseconds) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), milliseconds);
  await once(child, 'exit');
  clearTimeout(timer);
}
