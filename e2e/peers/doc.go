// Package peers runs the gate between the programs it will stand between:
// proxies in front of it and behind it, and the tools that clients and attackers
// use. It is a module of its own so that the product's has no word of them.
package peers
