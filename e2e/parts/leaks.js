// Looks for tokens and proofs in text the gate wrote.

const WINDOW = 12;

// leaks returns the places in text that share a piece of 23 or more characters
// with the payload or the signature of a secret, or with an opaque token;
// shorter common pieces may go unseen. Headers are not looked for: they hold no
// secret.
export function leaks(text, secrets) {
  const pieces = new Set();
  for (const secret of secrets) {
    const parts = secret.split('.');
    for (const part of parts.length > 1 ? parts.slice(1) : parts) {
      for (let i = 0; i + WINDOW <= part.length; i += WINDOW) pieces.add(part.slice(i, i + WINDOW));
    }
  }
  const found = [];
  for (let i = 0; i + WINDOW <= text.length; i += 1) {
    if (pieces.has(text.slice(i, i + WINDOW))) found.push(text.slice(Math.max(0, i - 60), i + 60));
  }
  return found;
}
