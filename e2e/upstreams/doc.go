// Package upstreams runs each protocol of clients against each protocol of
// upstreams through the built gate. It is a module of its own since it takes
// longer than the product's tests may.
package upstreams
