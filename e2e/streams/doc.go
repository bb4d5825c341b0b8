// Package streams has node behind the gate, and curl and net/http before it:
// event streams, 100-continue, trailers, and bodies larger than any buffer. It is
// a module of its own because it needs those programs.
package streams
